"""Events on their way into a store, and the row that sums up a conversation."""

from __future__ import annotations

import pytest

from coda_core.errors import StoreError
from coda_core.events import Closed, Event, Fault, Opened, UnknownEvent
from coda_core.interfaces import ConversationRow
from coda_core.storing.rows import advance, decode, encode


def test_events_are_sorted_by_conversation_and_number() -> None:
    events = [Fault(conversation=name, sequence=at) for at in (2, 1) for name in "ab"]
    rows = encode(events)
    assert {name: set(numbers) for name, numbers in rows.items()} == {"a": {1, 2}, "b": {1, 2}}
    assert [decode(row.payload, name) for name, numbers in rows.items() for row in numbers.values()] == [
        Fault(conversation=name, sequence=at) for name in "ab" for at in (2, 1)
    ]


def test_an_unknown_event_keeps_the_type_that_it_was_written_with() -> None:
    event = UnknownEvent.of("gesture", 3, {"conversation": "a", "sequence": 1})
    row = encode([event])["a"][1]
    assert (row.type, row.version) == ("gesture", 3)


@pytest.mark.parametrize("payload", ["", "{", "[]", '{"type": "closed"}'])
def test_a_damaged_payload_is_named(payload: str) -> None:
    with pytest.raises(StoreError, match="a stored event of conversation a is damaged"):
        decode(payload, "a")


def test_a_row_is_the_same_however_its_events_were_split() -> None:
    events: list[Event] = [
        Opened(conversation="a", sequence=1, time_s=1.0, user_id="ada"),
        Fault(conversation="a", sequence=2, time_s=2.0),
        Closed(conversation="a", sequence=3, time_s=3.0),
    ]
    whole = ConversationRow(
        conversation="a", opened_s=1.0, closed_s=3.0, user_id="ada", events=3, last_sequence=3, last_s=3.0
    )
    assert advance(None, events) == whole
    for at in (1, 2):
        assert advance(advance(None, events[:at]), events[at:]) == whole
        assert advance(advance(None, events[at:]), events[:at]) == whole
