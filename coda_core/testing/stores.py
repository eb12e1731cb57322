"""A state store in memory that watches how it is used, and fails or waits where a test says so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import attrs

from coda_core.errors import StoreError
from coda_core.events import Closed, Event, Opened
from coda_core.interfaces import ConversationRow
from coda_core.state import Passage

__all__ = ["WatchedStore"]


class WatchedStore:
    """A `coda_core.interfaces.StateStore` for tests of what uses one. It gathers no passages and finds none.

    Called by two threads at once it notes that in `overlaps`: a store is called one method at a time.
    """

    def __init__(self) -> None:
        self.stored: dict[str, dict[int, Event]] = {}
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.overlaps: list[str] = []
        self.on_append: Callable[[Sequence[Event]], None] = lambda _events: None
        """Called before events are stored: waits, or raises `StoreError`."""
        self._inside = threading.Lock()

    def append(self, events: Sequence[Event]) -> None:
        with self._alone("append"):
            self.on_append(events)
            for event in events:
                self.stored.setdefault(event.conversation, {}).setdefault(event.sequence, event)

    def events(self, conversation: str, after: int = 0) -> Iterator[Event]:
        with self._alone("events"):
            stored = self.stored.get(conversation, {})
            return iter([stored[sequence] for sequence in sorted(stored) if sequence > after])

    def find(
        self, *, user_id: str | None = None, unfinished: bool = False, limit: int = 100
    ) -> Sequence[ConversationRow]:
        with self._alone("find"):
            rows = [_row(conversation, stored) for conversation, stored in self.stored.items() if stored]
        rows = [row for row in rows if user_id in (None, row.user_id) and not (unfinished and row.closed_s is not None)]
        return sorted(rows, key=lambda row: -row.opened_s)[: max(limit, 0)]

    def put_blob(self, conversation: str, name: str, chunks: Iterable[bytes]) -> None:
        with self._alone("put_blob"):
            self.blobs[conversation, name] = b"".join(chunks)

    def get_blob(self, conversation: str, name: str) -> Iterator[bytes]:
        with self._alone("get_blob"):
            if (conversation, name) not in self.blobs:
                raise StoreError(f"conversation {conversation} has no stored {name!r}")
            return iter([self.blobs[conversation, name]])

    def has_blob(self, conversation: str, name: str) -> bool:
        with self._alone("has_blob"):
            return (conversation, name) in self.blobs

    def delete_blob(self, conversation: str, name: str) -> None:
        with self._alone("delete_blob"):
            self.blobs.pop((conversation, name), None)

    def passages(self, conversation: str) -> Iterator[Passage]:
        return iter(())

    def search(self, text: str, *, user_id: str | None = None, limit: int = 100) -> Sequence[Passage]:
        return ()

    def trim(self, conversation: str, *, events: int, snapshots: int) -> None:
        with self._alone("trim"):
            pass

    def purge(self, before_s: float) -> str | None:
        return None

    def delete(self, conversation: str) -> None:
        with self._alone("delete"):
            self.stored.pop(conversation, None)
            self.blobs = {key: blob for key, blob in self.blobs.items() if key[0] != conversation}

    @contextmanager
    def _alone(self, method: str) -> Iterator[None]:
        if not self._inside.acquire(blocking=False):
            self.overlaps.append(method)
            yield
            return
        try:
            yield
        finally:
            self._inside.release()


def _row(conversation: str, stored: dict[int, Event]) -> ConversationRow:
    events = [stored[sequence] for sequence in sorted(stored)]
    opened = next((event for event in events if isinstance(event, Opened)), None)
    closed = next((event for event in events if isinstance(event, Closed)), None)
    row = ConversationRow(
        conversation=conversation,
        opened_s=events[0].time_s,
        closed_s=closed.time_s if closed is not None else None,
        user_id=opened.user_id if opened is not None else None,
        events=len(events),
        last_sequence=events[-1].sequence,
    )
    return attrs.evolve(row, last_s=max(event.time_s for event in events))
