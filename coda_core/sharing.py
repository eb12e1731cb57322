"""Which of several kernels that share a store has a conversation."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar, cast

from coda_core.errors import ConversationTaken, StoreError
from coda_core.events import Closed, Event
from coda_core.interfaces import SharedStore, StateStore
from coda_core.journal import Journal

__all__ = ["Sharing"]

T = TypeVar("T")
Ask = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs something on the state manager's F."""

_logger = logging.getLogger("coda.kernel")


class Sharing:
    """Claims and releases conversations. On the event loop. With a store that is not shared all are this kernel's."""

    def __init__(self, store: StateStore, ask: Ask, journal: Journal) -> None:
        self._store: SharedStore | None = cast("SharedStore", store) if hasattr(store, "claim") else None
        self._ask = ask
        self._journal = journal

    @property
    def shared(self) -> bool:
        """Whether other kernels may use the store at the same time."""
        return self._store is not None

    async def claim(self, id: str) -> bool:
        """Take a conversation; return False where another living process has it. Raises `StoreError`."""
        return self._store is None or bool(await self._ask(partial(self._store.claim, id)))

    async def release(self, id: str) -> None:
        """Let others have a parked conversation. A failure is logged: it stays this kernel's, then."""
        if self._store is not None:
            try:
                await self._ask(partial(self._store.release, id))
            except StoreError as error:
                _logger.warning("conversation %s can be resumed on this server only: %s", id, error)

    async def reclaim(self, id: str) -> None:
        """Take back a conversation that was parked here, with the numbers that it has by now.

        Raises `ConversationTaken` where another kernel has it, or has closed it.
        """
        if self._store is None:
            return
        if not await self.claim(id):
            raise ConversationTaken(id)
        since = await self._since(id)
        if any(isinstance(event, Closed) for event in since):
            raise ConversationTaken(id)
        if since:
            self._journal.go_on(id, since[-1].sequence)

    async def gone_on(self, id: str) -> bool:
        """Return whether another kernel has gone on with a conversation that was parked here."""
        return bool(await self._since(id))

    async def _since(self, id: str) -> list[Event]:
        if self._store is None:
            return []
        store, last = self._store, self._journal.next_number(id) - 1
        events: list[Event] = await self._ask(lambda: list(store.events(id, last)))
        return events
