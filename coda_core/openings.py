"""How conversations come into a kernel: opened, or brought back from where they were parked."""

from __future__ import annotations

import asyncio
import logging
import secrets
import uuid
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import attrs

from coda_core.audio import AudioFormat
from coda_core.build import STATE_LABEL
from coda_core.conversation import Conversation
from coda_core.errors import (
    CodaError,
    ConversationBroken,
    ConversationClosed,
    ConversationTaken,
    Incapable,
    NotResumable,
    StoreError,
)
from coda_core.events import Closed, Event, Opened, Parked, Saved, Unparked
from coda_core.house import House
from coda_core.interfaces import SlotOptions, StateStore, Unfinished
from coda_core.tokens import digest_of, matches, new_token

__all__ = ["Openings"]

_ALL: Final = 2**31 - 1
_LOOK_EVERY_S: Final = 5.0
_SECOND_GRACE_S: Final = 30.0
"""For a peer that went away while its conversation came back."""

_logger = logging.getLogger("coda.kernel")


@attrs.frozen
class _Stored:
    """What a store tells of a conversation."""

    last_sequence: int
    frame: int
    """With which it goes on from what was saved last."""
    parked: bool
    """Whether it was left parked; if not, it went on since, or its process was killed."""
    closed: bool


class Openings:
    """Opens and brings back the conversations of one kernel. On the event loop."""

    def __init__(
        self, house: House, store: StateStore, stack_name: str, setup: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        """`setup` is `Opened.setup` of conversations that are recorded."""
        self.failure: BaseException | None = None
        """What the processor was lost to."""
        self._house = house
        self._store = store
        self._stack_name = stack_name
        self._setup = dict(setup)
        self._closed = False
        self._under_way: set[asyncio.Task[Conversation]] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._waiting: set[str] = set()
        """Parked conversations of other processes that nobody has come back to."""

    async def open(
        self,
        *,
        format: AudioFormat,
        user_id: str | None,
        options: SlotOptions,
        metadata: Mapping[str, str],
    ) -> Conversation:
        """Return a new conversation whose opening is durable."""
        return await self._unless_closed(self._open(format, user_id, options, metadata))

    async def resume(self, id: str, token: str, format: AudioFormat | None, *, start: bool) -> Conversation:
        """Return a conversation that goes on with somebody who holds its token."""
        return await self._unless_closed(self._resume(id, token, format, start))

    async def close(self) -> None:
        """Give up what is on its way, and let nothing in any more."""
        self._closed = True
        tasks = (*self._under_way, *self._background)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def take_over(self) -> None:
        """Take over what an earlier process left: record the end of conversations that nothing can go on from.

        Those that wait parked are given as long to come back as if they had been parked now.
        """
        await self._take_over()
        if self._house.sharing.shared:
            self._in_background(self._look_for_killed())

    async def _look_for_killed(self) -> None:
        """Take over what other servers leave that are killed while this one runs."""
        clock = self._house.clock
        while True:
            await clock.sleep_until(clock.now() + _LOOK_EVERY_S)
            try:
                await self._take_over()
            except StoreError as error:
                _logger.debug("servers that were killed could not be looked for: %s", error)
            except Exception:
                _logger.exception("what servers left that were killed could not be taken over; trying again")

    async def _take_over(self) -> None:
        house = self._house
        left = await self._left_by_others()
        waiting = [each.conversation for each in left if each.resumable]
        lost = [each for each in left if not each.resumable]
        if left:
            _logger.info("%d conversations of an earlier process are lost; %d wait parked", len(lost), len(waiting))
        for each in lost:
            self._record(each.conversation, each.last_sequence, Closed(reason="interrupted"))
        killed = []
        for each in left:
            if each.resumable:
                stored: _Stored = await house.manager.call(
                    STATE_LABEL, partial(_stored, self._store, each.conversation)
                )
                if not stored.parked:
                    killed.append(each)
                    parked = Parked(frame=stored.frame, reason="interrupted")
                    self._record(each.conversation, stored.last_sequence, parked)
        for each in (*lost, *killed):
            with suppress(StoreError):  # the journal says so itself, and tries again
                await house.journal.durable(each.conversation)
            house.journal.forget(each.conversation)
            if each.resumable:
                await house.sharing.release(each.conversation)
        self._waiting.update(waiting)
        if waiting:
            self._in_background(self._expire(waiting, house.clock.now() + house.keep_parked_s))

    async def _left_by_others(self) -> Sequence[Unfinished]:
        """Return what was left without an end, but for what is this kernel's and what waits already.

        What ends here while the store is asked is this kernel's too: it is in the house, or in the journal, at the
        beginning or at the end.
        """
        house = self._house
        known = {*house.conversations, *house.journal.conversations, *self._waiting}
        rows = await house.manager.call(STATE_LABEL, partial(self._store.find, unfinished=True, limit=_ALL))
        known |= {*house.conversations, *house.journal.conversations}
        if all(row.conversation in known for row in rows):
            return ()
        left: Sequence[Unfinished] = await house.manager.call(STATE_LABEL, house.state_manager.unfinished)
        known |= {*house.conversations, *house.journal.conversations}
        return [each for each in left if each.conversation not in known]

    async def _expire(self, waiting: Sequence[str], when: float) -> None:
        """Close those of an earlier process that nobody came back to."""
        house = self._house
        await house.clock.sleep_until(when)
        for id in waiting:
            stored: _Stored = await house.manager.call(STATE_LABEL, partial(_stored, self._store, id))
            self._waiting.discard(id)
            if stored.closed or not stored.parked or id in house.conversations:
                continue
            if not await house.sharing.claim(id):
                continue
            self._record(id, stored.last_sequence, Closed(reason="expired"))
            await house.discard(id)
            with suppress(StoreError):
                await house.journal.durable(id)
            house.journal.forget(id)

    def _record(self, id: str, last_sequence: int, event: Event) -> None:
        """Record a fact of a conversation that is not here."""
        journal = self._house.journal
        journal.go_on(id, last_sequence)
        self._house.published(journal.add(id, event))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _unless_closed(self, opening: Coroutine[Any, Any, Conversation]) -> Conversation:
        """Await an opening that is given up where the kernel is left meanwhile; then raises `ConversationClosed`."""
        task = asyncio.create_task(opening)
        self._under_way.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if self._closed and current is not None and not current.cancelling():
                raise ConversationClosed("the kernel was closed while the conversation opened") from None
            raise
        finally:
            self._under_way.discard(task)

    def _require_open(self) -> None:
        if self._closed:
            raise ConversationClosed("the kernel is closed")
        if self.failure is not None:
            raise ConversationBroken(f"the processor is lost: {self.failure}")

    async def _open(
        self, format: AudioFormat, user_id: str | None, options: SlotOptions, metadata: Mapping[str, str]
    ) -> Conversation:
        self._require_open()
        house = self._house
        if options.prompt is not None or options.voice is not None:
            house.require("prompt")
        if options.greeting is False:
            house.require("interrupt")
        if options.record and not house.can_record:
            raise Incapable('this stack\'s state manager cannot record; use one that can, such as "conversation"')
        token = new_token()
        conversation = Conversation(
            uuid.uuid4().hex,
            format=format,
            options=self._settled(options),
            resume_token=token,
            token_digest=digest_of(token),
            house=house,
        )
        house.conversations[conversation.id] = conversation
        try:
            await conversation.open()
            conversation.publish(
                Opened(
                    user_id=user_id,
                    stack=self._stack_name,
                    processor=house.processor,
                    fingerprint=house.info.fingerprint,
                    slots=house.info.slots,
                    options=attrs.asdict(conversation.options),
                    metadata=metadata,
                    token_digest=conversation.token_digest,
                    realtime=house.manager.realtime,
                    setup=self._setup if conversation.recorded else {},
                )
            )
            await house.journal.durable(conversation.id)
        except BaseException:
            if conversation.status == "opening":
                conversation.end(None)
            else:
                with suppress(CodaError):
                    await conversation.close("not opened")
            raise
        return conversation

    async def _resume(self, id: str, token: str, format: AudioFormat | None, start: bool) -> Conversation:
        self._require_open()
        conversation = self._house.conversations.get(id)
        recalled = conversation is None
        if conversation is None:
            conversation = await self._recall(id, token)
        if not matches(token, conversation.token_digest):
            raise NotResumable
        before, conversation.format = conversation.format, format or conversation.format
        try:
            await conversation.attach(start=start)
        except BaseException as error:
            conversation.format = before
            if recalled:
                await conversation.leave()
                if not isinstance(error, ConversationTaken):
                    await self._house.sharing.release(id)
            if isinstance(error, asyncio.CancelledError) and not self._closed:
                # It may well go on by now, and nobody would have it.
                self._in_background(conversation.detach(_SECOND_GRACE_S))
            if isinstance(error, (ConversationClosed, ConversationBroken, ConversationTaken)):
                raise NotResumable from None
            raise
        return conversation

    async def _recall(self, id: str, token: str) -> Conversation:
        """Return a conversation that an earlier process, or another one, has parked."""
        house = self._house
        stored: _Stored | None = await house.manager.call(STATE_LABEL, partial(_look_up, self._store, id, token))
        if stored is None or stored.closed:
            raise NotResumable
        if house.sharing.shared:
            if not await house.sharing.claim(id):
                raise NotResumable
            # It may have gone on, elsewhere, before it came here.
            stored = await house.manager.call(STATE_LABEL, partial(_stored, self._store, id))
            if stored.closed:
                raise NotResumable
        # Two may have asked for it at the same time.
        known = house.conversations.get(id)
        if known is not None:
            return known
        house.journal.go_on(id, stored.last_sequence)
        conversation = Conversation(
            id,
            format=AudioFormat(),
            options=SlotOptions(),
            resume_token=token,
            token_digest=digest_of(token),
            house=house,
            status="parked",
            frames=stored.frame,
        )
        house.conversations[id] = conversation
        return conversation

    def _settled(self, options: SlotOptions) -> SlotOptions:
        """Fill in what the conversation leaves open, so that what is recorded is what is run."""
        defaults = self._house.info.defaults
        settled = {
            field.name: getattr(defaults, field.name)
            for field in attrs.fields(SlotOptions)
            if getattr(options, field.name) is None
        }
        if options.record is None:
            settled["record"] = self._house.records
        options = attrs.evolve(options, **settled)
        return options if options.seed is not None else attrs.evolve(options, seed=secrets.randbits(31))


def _look_up(store: StateStore, id: str, token: str) -> _Stored | None:
    """Return what is stored of a conversation for somebody who holds its token. On F of the state manager."""
    opened = next(iter(store.events(id)), None)
    digest = opened.token_digest if isinstance(opened, Opened) else ""
    return _stored(store, id) if matches(token, digest) else None


def _stored(store: StateStore, id: str) -> _Stored:
    last, frame, parked, closed = 0, 0, False, False
    for event in store.events(id):
        last = event.sequence
        closed = closed or isinstance(event, Closed)
        if isinstance(event, (Parked, Saved, Unparked)):
            frame, parked = event.frame or 0, isinstance(event, Parked)
    return _Stored(last, frame, parked, closed)
