"""What a store keeps of an event, and the row that sums up a conversation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import attrs

from coda_core.errors import StoreError
from coda_core.events import Closed, Event, Opened, UnknownEvent, event_from_json, event_to_json
from coda_core.interfaces import ConversationRow

__all__ = ["LASTING", "ROW_COLUMNS", "EventRow", "advance", "conversation_row", "decode", "encode"]

LASTING: Final = (
    *("opened", "closed", "failed", "fault", "gap", "injection", "withdrawn", "interrupted"),
    *("parked", "unparked", "detached", "attached", "paused", "resumed", "saved"),
)
"""Types of event that are never dropped: what a conversation's tokens depend on, and how it came and went."""

ROW_COLUMNS: Final = (
    "conversation, opened_s, closed_s, user_id, events, last_sequence, last_s, dropped_events, dropped_snapshots"
)
"""Columns of a conversation's row in a database."""


@attrs.frozen(kw_only=True)
class EventRow:
    """An event as it is stored: the columns that are searched, and all of it as JSON."""

    event: Event
    type: str
    version: int
    payload: str


def encode(events: Iterable[Event]) -> dict[str, dict[int, EventRow]]:
    """Return what to store of `events`, by conversation and sequence; the first of two with one number counts.

    Raises ValueError for an event that the kernel has not numbered, and `StoreError` for one without a JSON form.
    """
    rows: dict[str, dict[int, EventRow]] = {}
    for event in events:
        if not event.conversation or event.sequence < 1:
            raise ValueError(f"only numbered events of a conversation can be stored, and this one is not: {event!r}")
        rows.setdefault(event.conversation, {}).setdefault(event.sequence, _encode_one(event))
    return rows


def decode(payload: str, conversation: str) -> Event:
    """Return the event that was stored as `payload`; raises `StoreError` where it is damaged."""
    try:
        return event_from_json(payload)
    except ValueError as error:
        raise StoreError(
            f"a stored event of conversation {conversation} is damaged ({error}); restore the store from a copy"
        ) from error


def advance(row: ConversationRow | None, events: Sequence[Event]) -> ConversationRow:
    """Return the row of a conversation after further `events` of it were stored; `row` is None before the first.

    Where the opening was never stored, the conversation counts as opened at its first stored event.
    """
    first, last = events[0], max(event.sequence for event in events)
    if row is None:
        row = ConversationRow(
            conversation=first.conversation,
            opened_s=first.time_s,
            closed_s=None,
            user_id=None,
            events=0,
            last_sequence=0,
        )
    for event in events:
        if isinstance(event, Opened):
            row = attrs.evolve(row, opened_s=event.time_s, user_id=event.user_id)
        elif isinstance(event, Closed):
            row = attrs.evolve(row, closed_s=event.time_s)
    return attrs.evolve(
        row,
        events=row.events + len(events),
        last_sequence=max(row.last_sequence, last),
        last_s=max(row.last_s, *(event.time_s for event in events)),
    )


def _encode_one(event: Event) -> EventRow:
    type, version = event.type, event.version
    if isinstance(event, UnknownEvent):
        type, version = event.written_type, event.written_version
    try:
        payload = event_to_json(event)
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"event {event.sequence} ({type}) of conversation {event.conversation} cannot be stored: {error}; "
            "its fields must hold plain values and finite numbers"
        ) from error
    return EventRow(event=event, type=type, version=version, payload=payload)


def conversation_row(row: Sequence[Any]) -> ConversationRow:
    """Return the row of a query that began with `ROW_COLUMNS`."""
    conversation, opened_s, closed_s, user_id, events, last_sequence, last_s, dropped_events, dropped, *_ = row
    return ConversationRow(
        conversation=conversation,
        opened_s=opened_s,
        closed_s=closed_s,
        user_id=user_id,
        events=events,
        last_sequence=last_sequence,
        last_s=last_s,
        dropped_events=dropped_events,
        dropped_snapshots=dropped,
    )
