"""The suite of state stores: events, and the rows that sum up conversations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from coda_core.errors import StoreError
from coda_core.events import Closed, Event, Fault, Gap, Opened, UnknownEvent
from coda_core.interfaces import ConversationRow
from coda_core.testing.conformance.store_suite import StoreSuite, talk

__all__ = ["EventChecks"]


class EventChecks(StoreSuite):
    """Events come back equal, in order and once, each with its own conversation."""

    def test_has_the_methods_of_a_store(self, store: Any) -> None:
        self.has_methods(
            *(store, "append", "events", "find", "put_blob", "get_blob", "has_blob", "delete_blob"),
            *("passages", "search", "trim", "purge", "delete"),
        )

    def test_is_empty_at_first(self, store: Any) -> None:
        store.append([])
        assert list(store.find()) == []
        assert list(store.events("nobody")) == []
        assert list(store.passages("nobody")) == []

    # Order

    def test_events_come_back_equal_and_in_order(self, store: Any) -> None:
        told = talk("a", ["one", "zwei", "trois", "\U0001f642"])
        store.append(told)
        assert list(store.events("a")) == told

    def test_events_of_another_installation_pass_untouched(self, store: Any) -> None:
        event = UnknownEvent.of("gesture", 3, {"conversation": "a", "sequence": 1, "hands": [1, None]})
        store.append([event])
        assert list(store.events("a")) == [event]

    def test_text_of_any_kind_comes_back(self, store: Any) -> None:
        """Also what a database takes for an end, a quote or a pattern."""
        odd = ["\x00", "a\x00b", "'; --", "%_", "\\", "\u2028", "\U0001f642", "", " "]
        told: list[Event] = [Fault(conversation="a", sequence=at, message=text) for at, text in enumerate(odd, 1)]
        store.append(told)
        assert list(store.events("a")) == told
        names = ["'; --", "%", "_", "\\", "A", "ä", "x" * 200]
        store.append([Fault(conversation=name, sequence=1, message=name) for name in names])
        assert [[event.message for event in store.events(name)] for name in names] == [[name] for name in names]

    def test_order_is_by_number_however_it_was_stored(self, store: Any) -> None:
        told = talk("a", ["one", "two", "three"])
        store.append(told[3:])
        store.append(told[:3][::-1])
        assert list(store.events("a")) == told

    def test_events_after_a_number(self, store: Any) -> None:
        told = talk("a", ["one", "two", "three"])
        store.append(told)
        for after in range(len(told) + 2):
            assert list(store.events("a", after)) == told[after:]

    def test_more_events_than_are_read_at_once(self, store: Any) -> None:
        told = talk("a", [f"word {at}" for at in range(1000)])
        store.append(told)
        assert list(store.events("a")) == told

    def test_reading_may_stop_half_way_and_writing_go_on(self, store: Any) -> None:
        told = talk("a", ["one", "two", "three"])
        store.append(told[:-1])
        store.put_blob("a", "state", [bytes(3_000_000)])
        events, blob = store.events("a"), store.get_blob("a", "state")
        assert next(events) == told[0]
        next(blob)
        store.append(told[-1:])
        store.append([Closed(conversation="b", sequence=1)])
        store.delete("b")
        assert [told[0], *events][: len(told) - 1] == told[:-1]
        assert list(store.events("a")) == told

    # Once

    def test_a_repeated_append_changes_nothing(self, store: Any) -> None:
        """The caller repeats a call of which it does not know whether it succeeded."""
        told = talk("a", ["one", "two"])
        store.append(told[:3])
        store.append(told[1:])
        store.append(told)
        assert list(store.events("a")) == told
        assert [(row.events, row.last_sequence) for row in store.find()] == [(4, 4)]

    def test_what_is_stored_under_a_number_stays(self, store: Any) -> None:
        first = Fault(conversation="a", sequence=1, message="first")
        store.append([first, attrs.evolve(first, message="second")])
        store.append([attrs.evolve(first, message="third")])
        assert list(store.events("a")) == [first]

    def test_a_gap_in_the_numbers_is_filled_later(self, store: Any) -> None:
        told = talk("a", ["one", "two", "three"])
        store.append([told[0], told[2], told[4]])
        store.append([told[1], told[2], told[3]])
        assert list(store.events("a")) == told
        assert store.find()[0].events == len(told)

    # All or none

    def test_a_batch_is_stored_whole_or_not_at_all(self, store: Any) -> None:
        unwritable = Gap(conversation="b", sequence=1, frames=float("nan"))  # type: ignore[arg-type]
        with pytest.raises(StoreError, match=r"1 \(gap\) of conversation b"):
            store.append([*talk("a"), unwritable])
        assert list(store.find()) == []
        assert list(store.events("a")) == []

    def test_an_event_without_a_number_is_a_defect(self, store: Any) -> None:
        """It is the caller's, so it is no `StoreError`: that would be tried again for ever."""
        for event in (Fault(sequence=1), Fault(conversation="a"), Fault(conversation="a", sequence=-1)):
            with pytest.raises(ValueError, match="number"):
                store.append([event])
        assert list(store.find()) == []

    # Apart

    def test_one_batch_over_many_conversations(self, store: Any) -> None:
        told = {name: talk(name, [name] * 5) for name in "abcdefgh"}
        store.append([event for turn in zip(*told.values(), strict=True) for event in turn])
        assert {name: list(store.events(name)) for name in told} == told

    # Rows

    def test_find_sums_up_a_conversation(self, store: Any) -> None:
        told = talk("a", ["one", "two"], user_id="ada", time_s=100.25)
        store.append(told[:2])
        row = ConversationRow(
            conversation="a", opened_s=100.25, closed_s=None, user_id="ada", events=2, last_sequence=2, last_s=101.25
        )
        assert list(store.find()) == [row]
        store.append(told[2:])
        assert list(store.find()) == [attrs.evolve(row, closed_s=103.25, events=4, last_sequence=4, last_s=103.25)]

    def test_find_gives_the_latest_first(self, store: Any) -> None:
        for name, time_s in (("b", 20.0), ("d", 40.0), ("a", 10.0), ("c", 30.0), ("e", 40.0)):
            store.append(talk(name, time_s=time_s))
        assert [row.conversation for row in store.find()] == ["e", "d", "c", "b", "a"]
        assert [row.conversation for row in store.find(limit=2)] == ["e", "d"]
        assert list(store.find(limit=0)) == []
        assert list(store.find(limit=-1)) == []

    def test_find_by_user(self, store: Any) -> None:
        for name, user_id, time_s in (("a", "ada", 1.0), ("b", "bob", 2.0), ("c", "ada", 3.0), ("d", None, 4.0)):
            store.append(talk(name, user_id=user_id, time_s=time_s))
        assert [row.conversation for row in store.find(user_id="ada")] == ["c", "a"]
        assert [row.conversation for row in store.find(user_id="ada", limit=1)] == ["c"]
        assert list(store.find(user_id="eve")) == []

    def test_find_without_a_stored_opening_goes_by_the_first_event(self, store: Any) -> None:
        store.append([Fault(conversation="a", sequence=2, time_s=5.0)])
        assert [(row.opened_s, row.user_id) for row in store.find()] == [(5.0, None)]
        store.append([Opened(conversation="a", sequence=1, time_s=4.0, user_id="ada")])
        assert [(row.opened_s, row.user_id) for row in store.find()] == [(4.0, "ada")]

    def test_conversations_without_an_end_are_found(self, store: Any) -> None:
        store.append([*talk("done"), *talk("a", time_s=1)[:1], *talk("b", ["word"], time_s=2)[:-1]])
        assert [row.conversation for row in store.find(unfinished=True)] == ["b", "a"]
        assert [row.conversation for row in store.find(unfinished=True, limit=1)] == ["b"]
        store.append([Closed(conversation="b", sequence=3)])
        assert [row.conversation for row in store.find(unfinished=True)] == ["a"]

    def test_is_there_when_it_is_opened_again(self, tmp_path: Path) -> None:
        if not self.durable:
            return
        told = talk("a", ["one", "two"], user_id="ada")
        with self.opened(tmp_path) as store:
            store.append(told)
            store.append(talk("b")[:1])
            store.put_blob("a", "state", [b"kept"])
            rows = list(store.find())
        with self.opened(tmp_path) as store:
            assert list(store.events("a")) == told
            assert list(store.find()) == rows
            assert b"".join(store.get_blob("a", "state")) == b"kept"
            assert [row.conversation for row in store.find(unfinished=True)] == ["b"]
            assert [passage.text for passage in store.search("one")] == ["one two"]
