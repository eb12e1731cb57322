"""The state store `memory`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager

import attrs

from coda_core.errors import StoreError
from coda_core.events import Event
from coda_core.interfaces import Context, ConversationRow
from coda_state.config import MemoryStoreConfig
from coda_state.rows import advance, decode, encode

__all__ = ["MemoryStore", "open_memory_store"]


@attrs.define
class _Kept:
    row: ConversationRow
    payloads: dict[int, str] = attrs.field(factory=dict)


class MemoryStore:
    """Keeps conversations until the process ends: *durable* means no more than that here.

    Of more than `conversations` conversations those that closed first are dropped whole, events and blobs, and
    counted in `dropped`. A live one is never dropped. All methods are called on one thread at a time.
    """

    def __init__(self, conversations: int, logger: logging.Logger) -> None:
        self._limit = conversations
        self._logger = logger
        self._kept: dict[str, _Kept] = {}
        self._closed: dict[str, None] = {}
        self._blobs: dict[str, dict[str, tuple[bytes, ...]]] = {}
        self.dropped = 0
        """Conversations that were dropped to keep within the limit."""

    def append(self, events: Sequence[Event]) -> None:
        for conversation, rows in encode(events).items():
            kept = self._kept.get(conversation)
            stored = kept.payloads if kept is not None else {}
            new = {sequence: row for sequence, row in rows.items() if sequence not in stored}
            if not new:
                continue
            summed = advance(kept.row if kept is not None else None, [row.event for row in new.values()])
            kept = self._kept.setdefault(conversation, _Kept(summed))
            kept.row = summed
            kept.payloads.update((sequence, row.payload) for sequence, row in new.items())
            if summed.closed_s is not None:
                self._closed.setdefault(conversation)
        self._drop_closed()

    def events(self, conversation: str, after: int = 0) -> Iterator[Event]:
        kept = self._kept.get(conversation)
        if kept is not None:
            for sequence in sorted(sequence for sequence in kept.payloads if sequence > after):
                yield decode(kept.payloads[sequence], conversation)

    def find(self, *, user_id: str | None = None, limit: int = 100) -> Sequence[ConversationRow]:
        # Reversed before a stable sort: of two that opened at the same moment the later one comes first.
        rows = [kept.row for kept in reversed(self._kept.values()) if user_id in (None, kept.row.user_id)]
        return sorted(rows, key=lambda row: -row.opened_s)[: max(limit, 0)]

    def put_blob(self, conversation: str, name: str, chunks: Iterable[bytes]) -> None:
        whole = tuple(bytes(chunk) for chunk in chunks)
        self._blobs.setdefault(conversation, {})[name] = whole

    def get_blob(self, conversation: str, name: str) -> Iterator[bytes]:
        try:
            return iter(self._blobs[conversation][name])
        except KeyError:
            raise StoreError(f"conversation {conversation} has no stored {name!r}") from None

    def delete(self, conversation: str) -> None:
        self._kept.pop(conversation, None)
        self._closed.pop(conversation, None)
        self._blobs.pop(conversation, None)

    def _drop_closed(self) -> None:
        while len(self._kept) > self._limit and self._closed:
            oldest = next(iter(self._closed))
            self.delete(oldest)
            self.dropped += 1
            self._logger.info(
                "dropped conversation %s, the first of those that are closed, to keep %d", oldest, self._limit
            )


@asynccontextmanager
async def open_memory_store(config: MemoryStoreConfig, context: Context) -> AsyncIterator[MemoryStore]:
    yield MemoryStore(config.conversations, context.logger)
