"""The suite of state stores: processes that are killed, cancelled, run side by side or out of memory."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from coda_core.events import Fault
from coda_core.testing.conformance.store_acts import (
    append_and_release,
    append_and_wait,
    append_many,
    claim,
    read_much,
    write_for_ever,
    write_half_a_blob,
)
from coda_core.testing.conformance.store_opening import Elsewhere
from coda_core.testing.conformance.store_suite import StoreSuite, talk

__all__ = ["ProcessChecks"]

Start = Callable[..., Elsewhere]

_MEMORY_BYTES: Final = 24 * 2**20
_MUCH_MIB: Final = 64


class ProcessChecks(StoreSuite):
    """What happens to a store's process harms nothing that is stored."""

    # Killed

    def test_what_was_acknowledged_outlives_a_kill(self, tmp_path: Path, start: Start) -> None:
        """A process that writes is killed by SIGKILL, again and again: all is there afterwards, in order, once."""
        if not self.durable:
            return
        numbers, blob, acknowledged = dict.fromkeys("abc", 0), 0, 0
        draw = random.Random(0)
        for _ in range(self.kills):
            writer = start(write_for_ever, numbers, draw.randint(0, 76))
            told = [writer.heard() for _ in range(draw.randint(0, 12))]
            writer.pipe.poll(draw.choice((0.0, 0.02, 0.1)) * draw.random())
            told += writer.kill()
            acknowledged += len(told)
            with self.opened(tmp_path) as store:
                blob = max([blob, *(put for _, put in told)])
                numbers = self._whole(store, numbers, max([numbers["a"], *(number for number, _ in told)]))
                if numbers["a"]:
                    self._until(lambda: self._unfinished(store) == set("abc"))
                if blob:
                    assert int(b"".join(store.get_blob("a", "state"))) >= blob, "an acknowledged blob is lost"
        assert acknowledged, "it acknowledged nothing in all that time"
        with self.opened(tmp_path) as store:
            for name, last in numbers.items():
                said = [word.text for passage in store.passages(name) for word in passage.words]
                assert said == [f"word{at}" for at in range(1, last + 1) if at % 20 and at % 3]

    @staticmethod
    def _unfinished(store: Any) -> set[str]:
        return {row.conversation for row in store.find(unfinished=True)} - {"scratch"}

    @staticmethod
    def _whole(store: Any, before: dict[str, int], acknowledged: int) -> dict[str, int]:
        """Return the last numbers; fails where something is missing that was acknowledged, or comes twice."""
        rows = {row.conversation: row for row in store.find()}
        numbers = {name: rows[name].last_sequence if name in rows else 0 for name in before}
        assert numbers["a"] >= acknowledged, "events were lost that append had returned for"
        assert len(set(numbers.values())) == 1, "of a batch over several conversations only some is there"
        for name, known in before.items():
            found = [event.sequence for event in store.events(name, known)]
            assert found == sorted(set(found)), "events are out of order, or come twice"
            row = rows.get(name)
            if name != "c":
                assert found == list(range(known + 1, numbers[name] + 1)), "events are missing in between"
            if row is not None:
                assert row.events == len(list(store.events(name)))
                assert row.events + row.dropped_events + row.dropped_snapshots == row.last_sequence
        return numbers

    def test_after_a_kill_in_the_middle_of_a_blob_the_old_one_is_there(self, tmp_path: Path, start: Start) -> None:
        if not self.durable:
            return
        for chunks in (1, 9, 30):
            writer = start(write_half_a_blob)
            for _ in range(chunks):
                writer.heard()
            writer.kill()
            with self.opened(tmp_path) as store:
                assert b"".join(store.get_blob("a", "state")) == b"old"

    # Memory

    def test_large_things_are_not_held_in_memory(self, tmp_path: Path, start: Start) -> None:
        """A conversation's state is a gigabyte with a full-size model, and its events are many."""
        if not self.durable:
            return
        count, size = 4_000, 2**13
        with self.opened(tmp_path) as store:
            for start_at in range(1, count + 1, 500):
                numbers = range(start_at, start_at + 500)
                store.append([Fault(conversation="b", sequence=at, message="m" * size) for at in numbers])
        read, events, grown = start(read_much, _MUCH_MIB).heard()
        assert (read, events) == (_MUCH_MIB * 2**20, count)
        assert max(grown.values()) < _MEMORY_BYTES, f"held in memory: {grown} bytes more at the peak"

    # Cancelled

    def test_may_be_cancelled_at_every_await(self, tmp_path: Path) -> None:
        """Entered or left half-way, it leaves no task and no thread behind, and can be entered again."""

        async def cancel_after(turns: int) -> None:
            async def enter_and_leave() -> None:
                async with self.entered(tmp_path):
                    pass

            task = asyncio.create_task(enter_and_leave())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()

        for turns in (*range(8), 12, 20, 40, 200):
            self.run(cancel_after(turns))
        with self.opened(tmp_path) as store:
            store.append(talk("a"))
            assert list(store.events("a")) == talk("a")

    def test_leaves_the_event_loop_free(self, tmp_path: Path) -> None:
        """Opening waits for a disk or a server: that is for another thread."""

        async def look() -> int:
            turns = 0

            async def others() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            watching = asyncio.create_task(others())
            async with self.entered(tmp_path):
                pass
            watching.cancel()
            await asyncio.wait([watching])
            return turns

        if self.durable:
            assert self.run(look()) > 0, "nothing else could run while it was opened and closed"

    # Side by side

    def test_processes_that_open_it_at_once_share_it(self, tmp_path: Path, start: Start) -> None:
        """Also the first time, when one of them makes it."""
        if not self._shared(tmp_path / "asked"):
            return
        writers = {name: start(append_many, name, 30) for name in "abc"}
        for writer in writers.values():
            writer.heard()
        for writer in writers.values():
            writer.tell("go")
        assert [writer.end() for writer in writers.values()] == [0] * len(writers)
        with self.opened(tmp_path) as store:
            for name in writers:
                assert [event.sequence for event in store.events(name)] == list(range(1, 31))
            assert {row.conversation: row.events for row in store.find()} == dict.fromkeys(writers, 30)

    def test_a_conversation_belongs_to_the_process_that_writes_it(self, tmp_path: Path, start: Start) -> None:
        """While that lives nobody else gets it; when it is killed, one does."""
        if not self._shared(tmp_path / "asked"):
            return
        with self.opened(tmp_path) as store:
            writer = start(append_and_wait, "theirs")
            assert writer.heard() == "stored"
            assert [row.conversation for row in store.find()] == ["theirs"]
            assert list(store.find(unfinished=True)) == [], "a living process goes on writing to it"
            assert not store.claim("theirs"), "a living process has it"
            writer.kill()
            self._until(lambda: [row.conversation for row in store.find(unfinished=True)] == ["theirs"])
            rivals = [start(claim, ["theirs"]) for _ in range(3)]
            for rival in rivals:
                rival.heard()
            for rival in rivals:
                rival.tell("go")
            assert sorted(rival.heard() for rival in rivals) == [[], [], ["theirs"]], "one gets it, and only one"
            assert list(store.find(unfinished=True)) == []
            assert not store.claim("theirs")
            for rival in rivals:
                rival.kill()
            self._until(lambda: store.claim("theirs"))
            assert store.claim("theirs"), "who has a conversation may claim it once more"

    def test_a_process_that_ends_gives_its_conversations_free(self, tmp_path: Path, start: Start) -> None:
        if not self._shared(tmp_path / "asked"):
            return
        with self.opened(tmp_path) as store:
            writer = start(append_and_wait, "theirs")
            writer.heard()
            writer.tell("end")
            assert writer.end() == 0
            self._until(lambda: store.claim("theirs"))

    def test_who_released_a_conversation_may_be_succeeded(self, tmp_path: Path, start: Start) -> None:
        """A parked conversation goes on wherever its peer comes back, and from then on nowhere else."""
        if not self._shared(tmp_path / "asked"):
            return
        with self.opened(tmp_path) as store:
            writer = start(append_and_release, "parked")
            assert writer.heard() == "released"
            assert [row.conversation for row in store.find(unfinished=True)] == ["parked"]
            store.release("parked")
            assert store.claim("parked"), "it was released"
            opened = list(store.events("parked"))
            writer.tell("append")
            assert writer.heard() == "parked", "append is to raise ConversationTaken for what another process has"
            assert list(store.events("parked")) == opened
            assert list(store.events("other")) == [], "all of a batch or nothing"

    def _shared(self, folder: Path) -> bool:
        """Return whether it says that several processes may use it at once: `SharedStore`."""
        folder.mkdir()
        with self.opened(folder) as store:
            return hasattr(store, "claim")

    def _until(self, held: Callable[[], bool]) -> None:
        """Wait until something holds."""
        end = time.monotonic() + self.patience_s
        while not held():
            assert time.monotonic() < end, f"a process that is gone has its conversations after {self.patience_s:g} s"
            time.sleep(0.02)
