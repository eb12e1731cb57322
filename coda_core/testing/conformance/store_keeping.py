"""The suite of state stores: what is dropped, and what is deleted for good."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
import pytest

from coda_core.errors import StoreError
from coda_core.events import Event, Fault, Gap, Injection, Opened
from coda_core.state import PhaseChanged, Snapshot
from coda_core.testing.conformance.store_suite import StoreSuite, talk
from coda_core.text import ExtractedText

__all__ = ["KeepingChecks"]


class KeepingChecks(StoreSuite):
    """Only what may be dropped is dropped, and of what is deleted nothing stays behind."""

    def files(self, folder: Path) -> Iterable[Path]:
        """Return the files that the store of `folder` keeps what it stores in, all written to by now.

        Those in `folder`. Override where it keeps them elsewhere; leave out what its documentation says may linger.
        """
        return [path for path in folder.rglob("*") if path.is_file()]

    # Trimming

    def test_the_oldest_events_before_a_snapshot_are_dropped_and_counted(self, store: Any) -> None:
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

    def test_what_no_snapshot_sums_up_is_not_dropped(self, store: Any) -> None:
        told = talk("a", [f"w{at}" for at in range(20)])
        store.append(told)
        store.trim("a", events=1, snapshots=1)
        assert list(store.events("a")) == told
        store.append([Snapshot(conversation="b", sequence=1), *talk("b", ["x"] * 9)[1:]])
        store.trim("b", events=1, snapshots=1)
        assert len(list(store.events("b"))) == 11
        store.trim("nobody", events=1, snapshots=1)

    def test_what_is_in_no_passage_yet_is_not_dropped(self, store: Any) -> None:
        told = talk("a", [f"w{at}" for at in range(70)])
        store.append(told[:-1])
        store.append([Snapshot(conversation="a", sequence=80)])
        store.trim("a", events=5, snapshots=1)
        assert [event.sequence for event in store.events("a")] == [1, *range(52, 72), 80]
        store.append([attrs.evolve(told[-1], sequence=81)])
        store.trim("a", events=5, snapshots=1)
        assert [event.sequence for event in store.events("a")] == [1, *range(67, 72), 80, 81]
        assert " ".join(passage.text for passage in store.passages("a")).split() == [f"w{at}" for at in range(70)]

    def test_what_tokens_depend_on_is_not_dropped(self, store: Any) -> None:
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

    # Purging

    def test_conversations_are_purged_the_oldest_first(self, store: Any) -> None:
        for name, time_s in (("b", 20.0), ("a", 10.0), ("c", 30.0)):
            store.append(talk(name, ["word"], time_s=time_s))
        assert [store.purge(30.0) for _ in range(3)] == ["a", "b", None]
        assert [row.conversation for row in store.find()] == ["c"]
        assert [passage.conversation for passage in store.search("word")] == ["c"]

    def test_a_conversation_is_as_old_as_its_latest_event(self, store: Any) -> None:
        store.append([*talk("a", time_s=10.0), Fault(conversation="a", sequence=9, time_s=50.0)])
        assert store.purge(50.0) is None

    # Deleting

    def test_delete_removes_one_conversation_and_no_other(self, store: Any) -> None:
        kept = talk("b", ["stays"])
        store.append([*talk("a", ["goes"]), *kept])
        for conversation in "ab":
            store.put_blob(conversation, "state", [conversation.encode()])
        store.delete("a")
        assert list(store.events("a")) == []
        assert [row.conversation for row in store.find()] == ["b"]
        assert list(store.passages("a")) == []
        assert not store.has_blob("a", "state")
        with pytest.raises(StoreError):
            store.get_blob("a", "state")
        assert list(store.events("b")) == kept
        assert b"".join(store.get_blob("b", "state")) == b"b"

    def test_delete_of_what_is_not_there(self, store: Any) -> None:
        store.delete("a")
        store.append(talk("b"))
        store.delete("a")
        assert list(store.events("b")) == talk("b")

    def test_delete_of_a_blob_alone(self, store: Any) -> None:
        store.put_blob("a", "state", [b"x"])
        store.delete("a")
        assert not store.has_blob("a", "state")

    def test_a_deleted_conversation_may_come_again(self, store: Any) -> None:
        store.append(talk("a", ["one", "two"], user_id="ada"))
        store.delete("a")
        store.append(talk("a", ["three"]))
        assert list(store.events("a")) == talk("a", ["three"])
        assert [(row.user_id, row.events) for row in store.find()] == [(None, 3)]

    def test_what_is_deleted_is_not_found(self, store: Any) -> None:
        for name in "ab":
            store.append(talk(name, ["secret", name]))
        store.delete("a")
        assert [passage.conversation for passage in store.search("secret")] == ["b"]

    def test_nothing_of_what_is_deleted_is_left_in_its_files(self, tmp_path: Path) -> None:
        def left(text: bytes) -> list[str]:
            return [path.name for path in self.files(tmp_path) if text in path.read_bytes()]

        with self.opened(tmp_path) as store:
            for at in range(30):
                words = [f"common{at}", "kept"]
                store.append(talk(f"other{at}", words))
                store.append(talk("gone", ["forgetmenot"] * 200)[at * 6 : at * 6 + 6])
            store.append(talk("gone", ["forgetmenot"] * 200, user_id="mrsgone"))
            store.put_blob("gone", "state", [b"forgetthisblob" * 100_000])
            was_there = bool(left(b"forgetmenot"))
            store.delete("gone")
            for text in (b"forgetmenot", b"mrsgone", b"forgetthisblob"):
                assert left(text) == [], "delete removes a conversation down to the bytes"
        assert left(b"forgetmenot") == []
        if self.durable:
            assert was_there, "what is stored lies in none of these files: override files()"
