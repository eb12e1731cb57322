"""What the conversations of one kernel share, and the room that there is for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import attrs

from coda_core.build import STATE_LABEL
from coda_core.clock import Clock
from coda_core.errors import CodaError, ConversationBroken, ConversationClosed, Full, Incapable, StoreError
from coda_core.events import Event
from coda_core.interfaces import (
    Admission,
    Capability,
    Lane,
    MonologueExtractor,
    ParkedState,
    ProcessorInfo,
    SlotOptions,
    StateManager,
    StreamingManager,
)
from coda_core.journal import Journal
from coda_core.sharing import Sharing

if TYPE_CHECKING:
    from coda_core.conversation import Conversation

__all__ = ["House"]

_logger = logging.getLogger("coda.kernel")
_ABILITIES: Final[dict[Capability, str]] = {
    "say": "speak a text that it is given",
    "interrupt": "be kept silent",
    "prompt": "take in a prompt or a voice",
    "park": "move a conversation out of its slot",
}


@attrs.define(eq=False, kw_only=True)
class House:
    """The slots, the saved states and the journal behind the conversations of one kernel. On the event loop."""

    manager: StreamingManager
    state_manager: StateManager
    extractors: dict[str, MonologueExtractor]
    journal: Journal
    clock: Clock
    keep_parked_s: float
    """How long a parked conversation may stay away before it is closed."""
    processor: str
    """Name of the processor, for messages."""
    save_every_s: float | None = None
    """Seconds between two savings of what a live conversation could go on from; None for none."""
    published: Callable[[Event], None]
    """Told every event of every conversation."""
    sharing: Sharing
    """Which of the stored conversations are this kernel's."""
    conversations: dict[str, Conversation] = attrs.field(factory=dict)
    """Those that are not over, by id; parked ones that were here are among them."""
    background: set[asyncio.Task[None]] = attrs.field(factory=set)
    """Work that goes on behind everybody's back and is waited for at the end."""

    @property
    def info(self) -> ProcessorInfo:
        return self.manager.info

    def able(self, capability: Capability) -> bool:
        return capability in self.info.capabilities

    def require(self, capability: Capability) -> None:
        """Raise `Incapable` where the processor lacks a capability."""
        if not self.able(capability):
            raise Incapable(
                f'the processor "{self.processor}" cannot {_ABILITIES[capability]}: it lacks the capability '
                f'"{capability}". Use one that has it, such as "moshi".'
            )

    def frames_of(self, seconds: float) -> int:
        """Return the steps that a time stands for, rounded to the nearest and at least 0."""
        return max(0, round(seconds / self.info.frame_s))

    async def take(self, id: str, options: SlotOptions) -> Lane:
        """Take a slot for a new conversation, after parking an idle one if need be; raises `Full`."""
        return await self._in_a_slot(partial(self.manager.open, id, options))

    async def bring_back(self, id: str) -> tuple[ParkedState, Lane]:
        """Take a slot for a parked conversation and go on in it.

        Raises `Full`, `StoreError` where its saved state is gone or damaged, and `ModelError` where this processor
        cannot go on from it. It stays parked then. Raises `ConversationTaken` where another kernel has it.
        """
        await self.sharing.reclaim(id)
        admission = self.manager.admit()
        if not admission.ok and self._idlest(admission) is None:
            raise _full(admission)
        parked: ParkedState | None = await self._ask(partial(self.state_manager.load, id))
        if parked is None or parked.conversation != id:
            raise StoreError(f"the saved state of conversation {id} is gone: it cannot be resumed")
        return parked, await self._in_a_slot(partial(self.manager.open, id, parked.options, parked))

    async def save(self, parked: ParkedState) -> None:
        """Store what a conversation goes on from; durable when this returns. Raises `StoreError`."""
        await self._ask(partial(self.state_manager.save, parked))

    async def discard(self, id: str) -> None:
        """Drop what was saved of a conversation. A failure is logged: it costs room, and nobody waits for it."""
        try:
            await self._ask(partial(self.state_manager.discard, id))
        except Exception as error:
            _logger.error("the saved state of conversation %s could not be dropped: %s", id, error)

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` behind everybody's back, before the kernel ends."""
        task = asyncio.create_task(work)
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    @property
    def can_record(self) -> bool:
        """Whether the state manager can record what is heard and said."""
        return hasattr(self.state_manager, "records")

    @property
    def records(self) -> bool:
        """Whether conversations are recorded that do not say."""
        return bool(getattr(self.state_manager, "records", False))

    async def _ask(self, function: Callable[[], Any]) -> Any:
        return await self.manager.call(STATE_LABEL, function)

    async def _in_a_slot(self, open: Callable[[], Awaitable[Lane]]) -> Lane:
        while True:
            await self._make_room()
            try:
                return await open()
            except Full:
                await asyncio.sleep(0)  # somebody else was faster: is there another to park?

    async def _make_room(self) -> None:
        while not (admission := self.manager.admit()).ok:
            idle = self._idlest(admission)
            if idle is None:
                raise _full(admission)
            was_live = idle.status == "live"
            try:
                await idle.make_way(partial(self._should_go, idle))
            except (ConversationClosed, ConversationBroken):
                await asyncio.sleep(0)  # it is on its way out, and its slot with it
            except CodaError as error:
                _logger.error("conversation %s could not be parked for one that waits: %s", idle.id, error)
                if was_live and idle.status == "paused":
                    await idle.resume()
                raise _full(admission) from error

    def _should_go(self, conversation: Conversation) -> bool:
        """Return whether a conversation is still the one to be parked: it may have gone on meanwhile."""
        admission = self.manager.admit()
        return not admission.ok and self._idlest(admission) is conversation

    def _idlest(self, admission: Admission) -> Conversation | None:
        """Return whom to park for somebody who waits: first whose peer is gone, then whom the manager names."""
        if not self.able("park"):
            return None
        in_slots = [each for each in self.conversations.values() if each.status in ("opening", "live", "paused")]
        if len(in_slots) >= admission.capacity:
            gone = [each for each in in_slots if each.detached_since_s is not None]
            if gone:
                return min(gone, key=lambda each: each.detached_since_s or 0.0)
        return self.conversations.get(admission.park_first) if admission.park_first is not None else None


def _full(admission: Admission) -> Full:
    return Full(admission.reason, capacity=admission.capacity, load=admission.load)
