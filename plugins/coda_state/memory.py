"""The state store `memory`."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import Any, Final

import attrs

from coda_core.errors import StoreError
from coda_core.events import Closed, Event
from coda_core.interfaces import Context, ConversationRow
from coda_core.state import Passage
from coda_core.storing.passages import Draft, gather
from coda_core.storing.rows import LASTING, EventRow, advance, decode, encode
from coda_core.storing.words import folded, holds, wanted
from coda_core.text import ExtractedText
from coda_state.config import MemoryStoreConfig

__all__ = ["MemoryStore", "open_memory_store"]

_getters: dict[type[Event], Callable[[Event], tuple[Any, ...]]] = {}
_PLAIN: Final = frozenset((str, int, bool, type(None)))
"""Types whose values are in JSON what they are here, and cannot change."""


@attrs.define
class _Kept:
    """One conversation. What sums it up is brought up to date when somebody looks: events come far more often."""

    events: dict[int, Event | EventRow] = attrs.field(factory=dict)
    """By sequence: as it is where JSON would give it back like that, else as JSON."""
    _row: ConversationRow | None = None
    _drafts: dict[Draft, None] = attrs.field(factory=dict)
    _untold: list[Event] = attrs.field(factory=list)
    """Events that neither of the two knows of."""

    def add(self, event: Event | EventRow) -> None:
        told = event if isinstance(event, Event) else event.event
        self.events[told.sequence] = event
        self._untold.append(told)

    @property
    def row(self) -> ConversationRow:
        self._sum_up()
        assert self._row is not None, "a conversation is kept from its first event on"
        return self._row

    @row.setter
    def row(self, row: ConversationRow) -> None:
        self._row = row

    @property
    def drafts(self) -> dict[Draft, None]:
        """What was said, in the order in which it began."""
        self._sum_up()
        return self._drafts

    def _sum_up(self) -> None:
        told, self._untold = self._untold, []
        if told:
            self._row = advance(self._row, told)
            texts = [event for event in told if isinstance(event, ExtractedText)]
            growing = [draft for draft in self._drafts if not draft.complete]
            over = any(isinstance(event, Closed) for event in told)
            self._drafts.update(dict.fromkeys(gather(growing, texts, over=over)))


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
        # All are looked at before any is kept: a batch is stored whole or not at all.
        for event, form in [(event, _form(event)) for event in events]:
            kept = self._kept.get(event.conversation)
            if kept is None:
                kept = self._kept[event.conversation] = _Kept()
            if event.sequence not in kept.events:
                kept.add(form)
                if form.type == Closed.type:
                    self._closed.setdefault(event.conversation)
        self._drop_closed()

    def events(self, conversation: str, after: int = 0) -> Iterator[Event]:
        kept = self._kept.get(conversation)
        if kept is not None:
            for sequence in sorted(sequence for sequence in kept.events if sequence > after):
                form = kept.events[sequence]
                yield form if isinstance(form, Event) else decode(form.payload, conversation)

    def find(
        self, *, user_id: str | None = None, unfinished: bool = False, limit: int = 100
    ) -> Sequence[ConversationRow]:
        # Reversed before a stable sort: of two that opened at the same moment the later one comes first.
        rows = [kept.row for kept in reversed(self._kept.values()) if user_id in (None, kept.row.user_id)]
        if unfinished:
            rows = [row for row in rows if row.closed_s is None]
        return sorted(rows, key=lambda row: -row.opened_s)[: max(limit, 0)]

    def put_blob(self, conversation: str, name: str, chunks: Iterable[bytes]) -> None:
        whole = tuple(bytes(chunk) for chunk in chunks)
        self._blobs.setdefault(conversation, {})[name] = whole

    def get_blob(self, conversation: str, name: str) -> Iterator[bytes]:
        try:
            return iter(self._blobs[conversation][name])
        except KeyError:
            raise StoreError(f"conversation {conversation} has no stored {name!r}") from None

    def has_blob(self, conversation: str, name: str) -> bool:
        return name in self._blobs.get(conversation, {})

    def delete_blob(self, conversation: str, name: str) -> None:
        self._blobs.get(conversation, {}).pop(name, None)

    def passages(self, conversation: str) -> Iterator[Passage]:
        kept = self._kept.get(conversation)
        if kept is not None:
            for draft in tuple(kept.drafts):
                yield draft.passage(conversation)

    def search(self, text: str, *, user_id: str | None = None, limit: int = 100) -> Sequence[Passage]:
        asked = wanted(text)
        found = [
            draft.passage(conversation)
            for conversation, kept in self._kept.items()
            if asked and user_id in (None, kept.row.user_id)
            for draft in kept.drafts
            if draft.complete and all(holds(folded(draft.text), each) for each in asked)
        ]
        return sorted(found, key=lambda passage: -passage.time_s)[: max(limit, 0)]

    def trim(self, conversation: str, *, events: int, snapshots: int) -> None:
        kept = self._kept.get(conversation)
        if kept is None:
            return
        types = {sequence: kept.events[sequence].type for sequence in sorted(kept.events)}
        taken = [sequence for sequence, type in types.items() if type == "snapshot"]
        growing = [draft.first_sequence for draft in kept.drafts if not draft.complete]
        latest = max(taken, default=0)
        others = [sequence for sequence, type in types.items() if type not in (*LASTING, "snapshot")]
        end = min([latest, *growing])
        old = [sequence for sequence in others[: max(len(others) - events, 0)] if sequence < end]
        old_taken = [sequence for sequence in taken[: max(len(taken) - snapshots, 0)] if sequence < latest]
        for sequence in (*old, *old_taken):
            del kept.events[sequence]
        kept.row = attrs.evolve(
            kept.row,
            events=len(kept.events),
            dropped_events=kept.row.dropped_events + len(old),
            dropped_snapshots=kept.row.dropped_snapshots + len(old_taken),
        )

    def purge(self, before_s: float) -> str | None:
        old = min(self._kept.values(), key=lambda kept: kept.row.last_s, default=None)
        if old is None or old.row.last_s >= before_s:
            return None
        self.delete(old.row.conversation)
        return old.row.conversation

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


def _form(event: Event) -> Event | EventRow:
    """Return what is kept of an event; raises as `encode` does.

    To write JSON is what takes most of the time, and most events have plain values alone, of which it makes the same.
    """
    if event.conversation and event.sequence >= 1 and all(map(_is_plain, _values(event))):
        return event
    return encode([event])[event.conversation][event.sequence]


def _values(event: Event) -> tuple[Any, ...]:
    """Return the values of all fields."""
    kind = type(event)
    if kind not in _getters:
        _getters[kind] = attrgetter(*(field.name for field in attrs.fields(kind)))
    return _getters[kind](event)


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind is float:
        return math.isfinite(value)
    return kind in _PLAIN or (kind is tuple and _PLAIN.issuperset(map(type, value)))


@asynccontextmanager
async def open_memory_store(config: MemoryStoreConfig, context: Context) -> AsyncIterator[MemoryStore]:
    yield MemoryStore(config.conversations, context.logger)
