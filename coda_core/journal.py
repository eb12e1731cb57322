"""Numbers the events of all conversations and sees to it that they become durable."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

import attrs

from coda_core.clock import Clock
from coda_core.errors import ConversationTaken, StoreError
from coda_core.events import Event, StoreFailing, StoreRecovered

__all__ = ["Journal"]

E = TypeVar("E", bound=Event)

RETRY_S: Final = 1.0
PENDING_LIMIT: Final = 100_000
"""Events kept in memory while the store does not take them, before the oldest are given up."""

BATCH_LIMIT: Final = 5_000
"""Events of one batch: after a long failure, what waits must not keep the state manager from its steps for seconds."""


class Journal:
    """Events in, numbers out, and later word that all up to a number are safe. On the event loop.

    One batch is on its way to the state manager at a time; what comes meanwhile makes the next batch, so a slow
    disk makes batches larger and never delays who publishes. A batch that fails with `StoreError` is kept and
    tried again; an event that the store refuses by any other exception is given up alone.
    """

    def __init__(
        self,
        record: Callable[[Sequence[Event]], Awaitable[None]],
        clock: Clock,
        tell: Callable[[Event], None] = lambda _event: None,
        taken: Callable[[str], None] = lambda _conversation: None,
    ) -> None:
        """`tell` is told when the store fails, and when it takes events again; `taken` which conversation another
        server goes on with: its events are numbered, and stored no more."""
        self._record = record
        self._clock = clock
        self._tell = tell
        self._taken = taken
        self._others: set[str] = set()
        """Conversations that another server goes on with."""
        self._logger = logging.getLogger("coda.journal")
        self._last: dict[str, int] = {}
        self._durable: dict[str, int] = {}
        self._pending: deque[Event] = deque()
        self._waiting: list[tuple[str, int, asyncio.Future[None]]] = []
        self._work = asyncio.Event()
        self._closing = False
        self._ended = False
        self._failing = False
        self.lost = 0
        """Events that were given up because the store did not take them."""

    def add(self, conversation: str, event: E, **more: Any) -> E:
        """Number and stamp `event`, queue it for the store and return it. `more` are fields that the kernel gives."""
        sequence = self.next_number(conversation)
        self._last[conversation] = sequence
        time_s = self._clock.wall()
        numbered = attrs.evolve(event, conversation=conversation, sequence=sequence, time_s=time_s, **more)
        if conversation in self._others:
            self.lost += 1
            return numbered
        if len(self._pending) >= PENDING_LIMIT:
            self._pending.popleft()
            self.lost += 1
            if self.lost == 1:
                self._logger.error("more than %d events wait for the store: the oldest are lost", PENDING_LIMIT)
        self._pending.append(numbered)
        self._work.set()
        return numbered

    @property
    def conversations(self) -> set[str]:
        """The conversations of which events wait for the store."""
        return {event.conversation for event in self._pending}

    def next_number(self, conversation: str) -> int:
        """Return the number that the conversation's next event will have."""
        return self._last.get(conversation, 0) + 1

    def go_on(self, conversation: str, sequence: int) -> None:
        """Number a conversation behind `sequence`: what was stored of it before is safe."""
        self._last[conversation] = self._durable[conversation] = sequence

    def durable_sequence(self, conversation: str) -> int:
        """Return the number up to which every event of the conversation is safe."""
        return self._durable.get(conversation, 0)

    async def durable(self, conversation: str) -> None:
        """Wait until every event that the conversation has now is safe; raises `StoreError` if the store fails."""
        sequence = self._last.get(conversation, 0)
        if self.durable_sequence(conversation) >= sequence:
            return
        if self._ended:
            raise StoreError("the journal is closed")
        if conversation in self._others:
            raise StoreError(str(ConversationTaken(conversation)))
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((conversation, sequence, future))
        await future

    def forget(self, conversation: str) -> None:
        """Drop the numbers of a conversation that is over."""
        self._others.discard(conversation)
        self._last.pop(conversation, None)
        self._durable.pop(conversation, None)

    async def run(self) -> None:
        """Carry batches to the state manager until `close` was called and everything is stored."""
        try:
            await self._carry()
        finally:
            self._ended = True
            self._refuse(StoreError("the journal is closed"))

    async def _carry(self) -> None:
        while True:
            while not self._pending:
                if self._closing:
                    return
                self._work.clear()
                await self._work.wait()
            batch = tuple(islice(self._pending, BATCH_LIMIT))
            try:
                await self._record(batch)
            except StoreError as error:
                self._failed(error)
                if self._closing:
                    self.lost += len(self._pending)
                    self._logger.error("%d events could not be stored before the end", len(self._pending))
                    return
                await self._pause()
            except Exception as error:
                if isinstance(error, ConversationTaken) and error.conversation in self.conversations:
                    self._give_up(error)
                else:
                    await self._sift(batch, error)
            else:
                self._stored(batch)

    def close(self) -> None:
        """Let `run` end once everything is stored, or cannot be."""
        self._closing = True
        self._work.set()

    def _stored(self, batch: Sequence[Event]) -> None:
        if self._failing:
            self._failing = False
            self._logger.warning("the state store takes events again")
            self._tell(StoreRecovered(lost=self.lost))
        done = {id(event) for event in batch}
        while self._pending and id(self._pending[0]) in done:
            self._pending.popleft()
        for event in batch:
            if event.conversation in self._last:
                self._durable[event.conversation] = event.sequence
        safe = {event.conversation: event.sequence for event in batch}
        still = []
        for conversation, sequence, future in self._waiting:
            if safe.get(conversation, 0) < sequence:
                still.append((conversation, sequence, future))
            elif not future.done():
                future.set_result(None)
        self._waiting = still

    async def _sift(self, batch: Sequence[Event], error: Exception) -> None:
        """Store a batch one by one: an event that can never be stored must not hold up all that follow it."""
        if len(batch) == 1:
            self._logger.error("an event cannot be stored and is given up: %r", batch[0], exc_info=error)
            self.lost += 1
            self._refuse(StoreError(f"an event cannot be stored: {error}"), batch[0].conversation)
            self._stored(batch)
            return
        for event in batch:
            try:
                await self._record((event,))
            except StoreError:
                return
            except Exception as each:
                await self._sift((event,), each)
            else:
                self._stored((event,))

    def _give_up(self, error: ConversationTaken) -> None:
        id = error.conversation
        self._logger.error("%s", error)
        self._others.add(id)
        kept = [event for event in self._pending if event.conversation != id]
        self.lost += len(self._pending) - len(kept)
        self._pending = deque(kept)
        self._refuse(StoreError(str(error)), id)
        self._taken(id)

    def _failed(self, error: StoreError) -> None:
        if not self._failing:
            self._failing = True
            self._logger.error("events could not be stored, trying again: %s", error)
            self._tell(StoreFailing(message=str(error), waiting=len(self._pending)))
        self._refuse(error)

    def _refuse(self, error: StoreError, conversation: str | None = None) -> None:
        """Tell those who wait, of one conversation or of all, that their events are not stored now."""
        refused = [each for each in self._waiting if conversation in (None, each[0])]
        self._waiting = [each for each in self._waiting if each not in refused]
        for _, _, future in refused:
            if not future.done():
                reason = StoreError(f"the conversation's events could not be stored: {error}")
                reason.__cause__ = error
                future.set_exception(reason)

    async def _pause(self) -> None:
        """Wait before the next try; closing cuts the wait short."""
        nap = asyncio.ensure_future(self._clock.sleep_until(self._clock.now() + RETRY_S))
        while not (nap.done() or self._closing):
            self._work.clear()
            woken = asyncio.ensure_future(self._work.wait())
            await asyncio.wait((nap, woken), return_when=asyncio.FIRST_COMPLETED)
            woken.cancel()
        nap.cancel()
