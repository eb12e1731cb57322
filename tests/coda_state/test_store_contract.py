"""What every state store must do. A store's own class of tests inherits `StoreContract` and gives it a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager

import attrs
import pytest

from coda_core.errors import StoreError
from coda_core.events import Closed, Event, Fault, Gap, Injection, Opened, UnknownEvent
from coda_core.interfaces import Context, ConversationRow, StateStore
from coda_core.state import PhaseChanged, Snapshot
from coda_core.text import ExtractedText
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
            conversation="a", opened_s=100.25, closed_s=None, user_id="ada", events=2, last_sequence=2, last_s=101.25
        )
        assert store.find() == [row]
        store.append(told[2:])
        assert store.find() == [attrs.evolve(row, closed_s=103.25, events=4, last_sequence=4, last_s=103.25)]

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

    def test_a_blob_is_there_until_it_is_dropped(self, store: StateStore) -> None:
        store.delete_blob("a", "state")
        assert not store.has_blob("a", "state")
        store.put_blob("a", "state", [b"x"])
        store.put_blob("a", "other", [b"y"])
        assert store.has_blob("a", "state")
        store.delete_blob("a", "state")
        assert [store.has_blob("a", name) for name in ("state", "other")] == [False, True]

    def test_conversations_without_an_end(self, store: StateStore, talk: Talk) -> None:
        store.append([*talk("done"), *talk("a", time_s=1)[:1], *talk("b", ["word"], time_s=2)[:-1]])
        assert [row.conversation for row in store.find(unfinished=True)] == ["b", "a"]
        assert [row.conversation for row in store.find(unfinished=True, limit=1)] == ["b"]

    def test_what_was_said_is_there_in_passages(self, store: StateStore, talk: Talk) -> None:
        words = [f"w{at}" for at in range(120)]
        told = talk("a", words, time_s=5.0)
        for start in range(0, len(told), 7):
            store.append(told[start : start + 7])
            store.append(told[start : start + 7])
        passages = list(store.passages("a"))
        assert [len(passage.words) for passage in passages] == [50, 50, 20]
        assert " ".join(passage.text for passage in passages).split() == words
        assert (passages[0].conversation, passages[0].speaker, passages[0].time_s) == ("a", "moshi", 6.0)
        assert (passages[0].start_s, passages[0].end_s) == (passages[0].words[0].start_s, passages[0].words[-1].end_s)

    def test_a_passage_is_found_by_its_words(self, store: StateStore, talk: Talk) -> None:
        store.append(talk("a", ["The", "weather", "in", "Orléans", "is", "fine."], user_id="ada", time_s=1))
        store.append(talk("b", ["Fine", "words", "about", "weather"], user_id="bob", time_s=2))
        store.append(talk("c", ["nothing"], time_s=3))

        def found(text: str, user_id: str | None = None) -> list[str]:
            return [passage.conversation for passage in store.search(text, user_id=user_id)]

        assert found("weather") == ["b", "a"]
        assert found("WEATHER fine") == ["b", "a"]
        assert found("orleans") == found("Orléans") == ["a"]
        assert found('"is fine"') == ["a"]
        assert found('"fine is"') == []
        assert found("wea*") == ["b", "a"]
        assert found("wea") == []
        assert found("weather", "ada") == ["a"]
        assert found("weather", "eve") == []
        assert found("") == found("!!") == found('"') == []
        assert found('weather" OR "nothing') == found("text:weather nothing") == []
        assert [passage.conversation for passage in store.search("weather", limit=1)] == ["b"]
        assert store.search("weather", limit=0) == []
        (passage,) = store.search("orleans")
        assert passage == next(store.passages("a"))

    def test_a_passage_is_found_from_when_it_is_over(self, store: StateStore, talk: Talk) -> None:
        told = talk("a", ["quietly", "spoken"])
        store.append(told[:-1])
        assert store.search("quietly") == []
        store.append(told[-1:])
        assert [passage.text for passage in store.search("quietly")] == ["quietly spoken"]

    def test_what_is_deleted_is_not_found(self, store: StateStore, talk: Talk) -> None:
        for name in "ab":
            store.append(talk(name, ["secret", name]))
        store.delete("a")
        assert [passage.conversation for passage in store.search("secret")] == ["b"]
        assert list(store.passages("a")) == []

    def test_the_oldest_events_before_a_snapshot_are_dropped_and_counted(self, store: StateStore, talk: Talk) -> None:
        told = [
            attrs.evolve(event, start_s=at * 9.0, end_s=at * 9.0) if isinstance(event, ExtractedText) else event
            for at, event in enumerate(talk("a", [f"w{at}" for at in range(20)])[:-1])
        ]
        summed = [Snapshot(conversation="a", sequence=len(told) + at) for at in (1, 2, 3)]
        store.append([*told, *summed])
        store.trim("a", events=5, snapshots=2)
        assert list(store.events("a")) == [told[0], *told[-5:], *summed[-2:]]
        row = store.find()[0]
        assert (row.events, row.dropped_events, row.dropped_snapshots, row.last_sequence) == (8, 15, 1, 24)
        store.trim("a", events=5, snapshots=2)
        assert store.find()[0] == row
        assert [word.text for passage in store.passages("a") for word in passage.words] == [
            f"w{at}" for at in range(20)
        ]

    def test_what_no_snapshot_sums_up_is_not_dropped(self, store: StateStore, talk: Talk) -> None:
        told = talk("a", [f"w{at}" for at in range(20)])
        store.append(told)
        store.trim("a", events=1, snapshots=1)
        assert list(store.events("a")) == told
        store.append([Snapshot(conversation="b", sequence=1), *talk("b", ["x"] * 9)[1:]])
        store.trim("b", events=1, snapshots=1)
        assert len(list(store.events("b"))) == 11
        store.trim("nobody", events=1, snapshots=1)

    def test_what_is_in_no_passage_yet_is_not_dropped(self, store: StateStore, talk: Talk) -> None:
        told = talk("a", [f"w{at}" for at in range(70)])
        store.append(told[:-1])
        store.append([Snapshot(conversation="a", sequence=80)])
        store.trim("a", events=5, snapshots=1)
        assert [event.sequence for event in store.events("a")] == [1, *range(52, 72), 80]
        store.append([attrs.evolve(told[-1], sequence=81)])
        store.trim("a", events=5, snapshots=1)
        assert [event.sequence for event in store.events("a")] == [1, *range(67, 72), 80, 81]
        assert " ".join(passage.text for passage in store.passages("a")).split() == [f"w{at}" for at in range(70)]

    def test_what_tokens_depend_on_is_not_dropped(self, store: StateStore) -> None:
        lasting: list[Event] = [
            Opened(conversation="a", sequence=1),
            Gap(conversation="a", sequence=2, frames=3),
            Injection(conversation="a", sequence=3),
            Fault(conversation="a", sequence=4, restarted=True),
        ]
        summed = Snapshot(conversation="a", sequence=6)
        store.append([*lasting, PhaseChanged(conversation="a", sequence=5), summed])
        store.trim("a", events=0, snapshots=1)
        assert list(store.events("a")) == [*lasting, summed]

    def test_conversations_are_purged_the_oldest_first(self, store: StateStore, talk: Talk) -> None:
        for name, time_s in (("b", 20.0), ("a", 10.0), ("c", 30.0)):
            store.append(talk(name, ["word"], time_s=time_s))
        assert [store.purge(30.0) for _ in range(3)] == ["a", "b", None]
        assert [row.conversation for row in store.find()] == ["c"]
        assert [passage.conversation for passage in store.search("word")] == ["c"]

    def test_a_conversation_is_as_old_as_its_latest_event(self, store: StateStore, talk: Talk) -> None:
        store.append([*talk("a", time_s=10.0), Fault(conversation="a", sequence=9, time_s=50.0)])
        assert store.purge(50.0) is None

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
