"""What every state store must do. A store's own class of tests inherits `StoreContract` and gives it a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager

import attrs
import pytest

from coda_core.errors import StoreError
from coda_core.events import Closed, Event, Fault, Gap, Opened, UnknownEvent
from coda_core.interfaces import Context, ConversationRow, StateStore
from coda_state.config import MemoryStoreConfig, SqliteStoreConfig
from coda_state.memory import open_memory_store
from coda_state.sqlite import open_sqlite_store

Talk = Callable[..., list[Event]]
Enter = Callable[[AbstractAsyncContextManager[StateStore]], StateStore]


class StoreContract:
    """The contract of `StateStore`, as tests on the fixture `store`: an empty, open one."""

    def test_a_conversation_comes_back_equal_and_in_order(self, store: StateStore, talk: Talk) -> None:
        told = talk("a", ["one", "zwei", "trois", "\U0001f642"])
        store.append(told)
        assert list(store.events("a")) == told

    def test_events_after_a_sequence(self, store: StateStore, talk: Talk) -> None:
        told = talk("a", ["one", "two", "three"])
        store.append(told)
        for after in range(len(told) + 2):
            assert list(store.events("a", after)) == told[after:]

    def test_order_is_by_sequence_however_it_was_stored(self, store: StateStore, talk: Talk) -> None:
        told = talk("a", ["one", "two", "three"])
        store.append(told[3:])
        store.append(told[:3][::-1])
        assert list(store.events("a")) == told

    def test_more_events_than_are_read_at_once(self, store: StateStore, talk: Talk) -> None:
        told = talk("a", [f"word {at}" for at in range(1000)])
        store.append(told)
        assert list(store.events("a")) == told

    def test_an_unknown_conversation_has_no_events(self, store: StateStore) -> None:
        assert list(store.events("nobody")) == []

    def test_nothing_to_append(self, store: StateStore) -> None:
        store.append([])
        assert store.find() == []

    def test_one_batch_over_many_conversations(self, store: StateStore, talk: Talk) -> None:
        told = {name: talk(name, [name] * 5) for name in "abcdefgh"}
        store.append([event for turn in zip(*told.values(), strict=True) for event in turn])
        assert {name: list(store.events(name)) for name in told} == told

    def test_a_repeated_append_changes_nothing(self, store: StateStore, talk: Talk) -> None:
        told = talk("a", ["one", "two"])
        store.append(told[:3])
        store.append(told[1:])
        store.append(told)
        assert list(store.events("a")) == told
        assert [(row.events, row.last_sequence) for row in store.find()] == [(4, 4)]

    def test_what_is_stored_under_a_number_stays(self, store: StateStore) -> None:
        first = Fault(conversation="a", sequence=1, message="first")
        store.append([first, attrs.evolve(first, message="second")])
        store.append([attrs.evolve(first, message="third")])
        assert list(store.events("a")) == [first]

    def test_a_gap_in_the_numbers_is_filled_later(self, store: StateStore, talk: Talk) -> None:
        told = talk("a", ["one", "two", "three"])
        store.append([told[0], told[2], told[4]])
        store.append([told[1], told[2], told[3]])
        assert list(store.events("a")) == told
        assert store.find()[0].events == len(told)

    def test_a_batch_is_stored_whole_or_not_at_all(self, store: StateStore, talk: Talk) -> None:
        unwritable = Gap(conversation="b", sequence=1, frames=float("nan"))  # type: ignore[arg-type]
        with pytest.raises(StoreError, match=r"event 1 \(gap\) of conversation b cannot be stored"):
            store.append([*talk("a"), unwritable])
        assert store.find() == []
        assert list(store.events("a")) == []

    @pytest.mark.parametrize(
        "event", [Fault(sequence=1), Fault(conversation="a"), Fault(conversation="a", sequence=-1)]
    )
    def test_an_event_without_a_number_is_a_defect(self, store: StateStore, event: Event) -> None:
        with pytest.raises(ValueError, match="only numbered events"):
            store.append([event])

    def test_an_event_of_another_installation_passes_untouched(self, store: StateStore) -> None:
        event = UnknownEvent.of("gesture", 3, {"conversation": "a", "sequence": 1, "hands": [1, None]})
        store.append([event])
        assert list(store.events("a")) == [event]

    def test_find_sums_up_a_conversation(self, store: StateStore, talk: Talk) -> None:
        told = talk("a", ["one", "two"], user_id="ada", time_s=100.25)
        store.append(told[:2])
        row = ConversationRow(
            conversation="a", opened_s=100.25, closed_s=None, user_id="ada", events=2, last_sequence=2
        )
        assert store.find() == [row]
        store.append(told[2:])
        assert store.find() == [attrs.evolve(row, closed_s=103.25, events=4, last_sequence=4)]

    def test_find_gives_the_latest_first(self, store: StateStore, talk: Talk) -> None:
        for name, time_s in (("b", 20.0), ("d", 40.0), ("a", 10.0), ("c", 30.0), ("e", 40.0)):
            store.append(talk(name, time_s=time_s))
        assert [row.conversation for row in store.find()] == ["e", "d", "c", "b", "a"]
        assert [row.conversation for row in store.find(limit=2)] == ["e", "d"]
        assert store.find(limit=0) == []
        assert store.find(limit=-1) == []

    def test_find_by_user(self, store: StateStore, talk: Talk) -> None:
        for name, user_id, time_s in (("a", "ada", 1.0), ("b", "bob", 2.0), ("c", "ada", 3.0), ("d", None, 4.0)):
            store.append(talk(name, user_id=user_id, time_s=time_s))
        assert [row.conversation for row in store.find(user_id="ada")] == ["c", "a"]
        assert [row.conversation for row in store.find(user_id="ada", limit=1)] == ["c"]
        assert store.find(user_id="eve") == []

    def test_find_without_a_stored_opening_goes_by_the_first_event(self, store: StateStore) -> None:
        store.append([Fault(conversation="a", sequence=2, time_s=5.0)])
        assert (store.find()[0].opened_s, store.find()[0].user_id) == (5.0, None)
        store.append([Opened(conversation="a", sequence=1, time_s=4.0, user_id="ada")])
        assert (store.find()[0].opened_s, store.find()[0].user_id) == (4.0, "ada")

    @pytest.mark.parametrize(
        "chunks",
        [[], [b""], [b"one"], [b"one", b"", b"two"], [bytes(2**20)] * 3, [b"ab" * 700_000, b"c" * 2_000_000]],
        ids=["no chunks", "an empty chunk", "one", "several", "even", "odd"],
    )
    def test_a_blob_comes_back_equal(self, store: StateStore, chunks: list[bytes]) -> None:
        store.put_blob("a", "state", iter(chunks))
        assert b"".join(store.get_blob("a", "state")) == b"".join(chunks)

    def test_blobs_are_told_apart_by_conversation_and_name(self, store: StateStore) -> None:
        names = [(conversation, name) for conversation in "ab" for name in ("state", "snapshot", "")]
        for conversation, name in names:
            store.put_blob(conversation, name, [f"{conversation}/{name}".encode()])
        for conversation, name in names:
            assert b"".join(store.get_blob(conversation, name)) == f"{conversation}/{name}".encode()

    def test_a_blob_replaces_the_one_before(self, store: StateStore) -> None:
        store.put_blob("a", "state", [bytes(3_000_000)])
        store.put_blob("a", "state", [b"short"])
        assert list(store.get_blob("a", "state")) == [b"short"]

    def test_a_blob_is_stored_whole_or_not_at_all(self, store: StateStore) -> None:
        def broken() -> Iterator[bytes]:
            yield b"new" * 500_000
            raise OSError("the source is gone")

        store.put_blob("a", "state", [b"old"])
        with pytest.raises(OSError, match="the source is gone"):
            store.put_blob("a", "state", broken())
        with pytest.raises(OSError, match="the source is gone"):
            store.put_blob("a", "other", broken())
        assert list(store.get_blob("a", "state")) == [b"old"]
        with pytest.raises(StoreError):
            store.get_blob("a", "other")

    def test_a_blob_may_be_made_of_a_stored_one(self, store: StateStore) -> None:
        content = bytes(range(256)) * 10_000
        store.put_blob("a", "state", [content])
        store.put_blob("b", "copy", store.get_blob("a", "state"))
        assert b"".join(store.get_blob("b", "copy")) == content

    def test_a_missing_blob_is_named(self, store: StateStore) -> None:
        store.put_blob("a", "state", [b""])
        with pytest.raises(StoreError, match="conversation a has no stored 'snapshot'"):
            store.get_blob("a", "snapshot")
        with pytest.raises(StoreError, match="conversation b has no stored 'state'"):
            store.get_blob("b", "state")

    def test_a_blob_makes_no_conversation(self, store: StateStore) -> None:
        store.put_blob("a", "state", [b"x"])
        assert store.find() == []

    def test_delete_removes_one_conversation_and_no_other(self, store: StateStore, talk: Talk) -> None:
        kept = talk("b", ["stays"])
        store.append([*talk("a", ["goes"]), *kept])
        for conversation in "ab":
            store.put_blob(conversation, "state", [conversation.encode()])
        store.delete("a")
        assert list(store.events("a")) == []
        assert [row.conversation for row in store.find()] == ["b"]
        with pytest.raises(StoreError):
            store.get_blob("a", "state")
        assert list(store.events("b")) == kept
        assert list(store.get_blob("b", "state")) == [b"b"]

    def test_delete_of_nothing(self, store: StateStore, talk: Talk) -> None:
        store.delete("a")
        store.append(talk("b"))
        store.delete("a")
        assert list(store.events("b")) == talk("b")

    def test_delete_of_a_blob_alone(self, store: StateStore) -> None:
        store.put_blob("a", "state", [b"x"])
        store.delete("a")
        with pytest.raises(StoreError):
            store.get_blob("a", "state")

    def test_a_deleted_conversation_may_come_again(self, store: StateStore, talk: Talk) -> None:
        store.append(talk("a", ["one", "two"], user_id="ada"))
        store.delete("a")
        store.append(talk("a", ["three"]))
        assert list(store.events("a")) == talk("a", ["three"])
        assert [(row.user_id, row.events) for row in store.find()] == [(None, 3)]

    def test_reading_may_stop_half_way_and_writing_go_on(self, store: StateStore, talk: Talk) -> None:
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


class TestSqlite(StoreContract):
    @pytest.fixture
    def store(self, enter: Enter, context: Context) -> StateStore:
        return enter(open_sqlite_store(SqliteStoreConfig(), context))


class TestMemory(StoreContract):
    @pytest.fixture
    def store(self, enter: Enter, context: Context) -> StateStore:
        return enter(open_memory_store(MemoryStoreConfig(), context))
