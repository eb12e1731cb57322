"""What a state manager keeps in its store, and for how long."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from coda_core.clock import Clock
from coda_core.errors import StoreError
from coda_core.events import Event
from coda_core.interfaces import StateStore
from coda_state.config import ConversationManagerConfig

__all__ = ["Keeper"]

_TRIM_EVERY: Final = 100
"""Events of a conversation after which its oldest ones are looked at: trimming each by itself would cost more."""
_PURGE_EVERY_S: Final = 3600.0
_DAY_S: Final = 86_400.0

_logger = logging.getLogger("coda.state")


class Keeper:
    """Hands events to the store, and drops what is past its keeping. The store sees one call at a time.

    What cannot be dropped now is tried again later; it never keeps an event from being stored.
    """

    def __init__(self, store: StateStore, config: ConversationManagerConfig, clock: Clock) -> None:
        self._store = store
        self._config = config
        self._clock = clock
        self._lock = threading.Lock()
        self._since_trim: Counter[str] = Counter()
        self._failing = False

    @contextmanager
    def store(self) -> Iterator[StateStore]:
        """Hold the store, alone."""
        with self._lock:
            yield self._store

    def append(self, events: Sequence[Event]) -> None:
        """Store events, then drop the oldest of those conversations that have too many. Raises `StoreError`."""
        with self._lock:
            self._store.append(events)
            self._since_trim.update([event.conversation for event in events])
            over = {event.conversation for event in events if event.type == "closed"}
            for conversation in {event.conversation for event in events}:
                if conversation in over or self._since_trim[conversation] >= _TRIM_EVERY:
                    self._trim(conversation)
                if conversation in over:
                    del self._since_trim[conversation]

    async def purge_forever(self) -> None:
        """Delete conversations that are past their age, one after another, now and every hour."""
        days = self._config.purge_after_days
        while days is not None:
            while await asyncio.to_thread(self._purge_one, self._clock.wall() - days * _DAY_S):
                pass
            await self._clock.sleep_until(self._clock.now() + _PURGE_EVERY_S)

    def _trim(self, conversation: str) -> None:
        self._since_trim[conversation] = 0
        try:
            self._store.trim(conversation, events=self._config.events_kept, snapshots=self._config.snapshots_kept)
        except StoreError as error:
            self._failed(error)

    def _purge_one(self, before_s: float) -> bool:
        try:
            with self._lock:
                purged = self._store.purge(before_s)
        except StoreError as error:
            self._failed(error)
            return False
        if purged is not None:
            _logger.info("conversation %s was purged: its last event is older than purge_after_days", purged)
        return purged is not None

    def _failed(self, error: StoreError) -> None:
        if not self._failing:
            self._failing = True
            _logger.error("what is past its keeping could not be dropped, and is tried again; said once: %s", error)
