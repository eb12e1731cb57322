"""The suite of streaming managers: followers."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from coda_core.audio import AudioFormat, Block
from coda_core.interfaces import SlotOptions, StepRecord
from coda_core.testing.conformance.manager_suite import (
    ENOUGH,
    ManagerSuite,
    fail,
    in_small_blocks,
    standstill,
    talk,
    voice,
    void,
)
from coda_core.testing.rig import KeepingFollower, Rig

__all__ = ["FollowerChecks"]


class FollowerChecks(ManagerSuite):
    """Followers get every step on a thread of their own, and disturb nobody."""

    def test_followers_get_a_record_of_every_step(self, tmp_path: Path) -> None:
        async def look() -> Rig:
            rig = Rig(followers={"one": KeepingFollower(), "two": KeepingFollower()})
            async with self.running(tmp_path, rig) as (manager, _):
                await talk(manager, "a", 9)
            return rig

        rig = self.run(look())
        for follower in rig.followers.values():
            assert [call for call, _ in follower.calls] == ["open", *["feed"] * 9, "close"]
            assert [record.frame for record in follower.records] == list(range(9))
            for record, frame in zip(follower.records, rig.frames["a"], strict=True):
                assert isinstance(record, StepRecord)
                assert np.array_equal(record.heard, frame.heard)
                assert record.spoken is not None
                assert np.array_equal(record.spoken, frame.pcm)
                assert record.missed_before == 0
                assert -120 <= record.heard_dbfs <= 0
                speaking = (record.caller_speaking, record.moshi_speaking)
                assert (frame.caller_speaking, frame.moshi_speaking) == speaking, "readers are told who speaks, too"
            tokens = [record.token for record in follower.records]
            script = rig.processor.script
            assert tokens == [script[at % len(script)] for at in range(9)], (
                "token and audio of a record belong together"
            )

    def test_each_follower_has_one_thread_of_its_own(self, tmp_path: Path) -> None:
        async def look() -> Rig:
            rig = Rig(followers={"one": KeepingFollower(), "two": KeepingFollower()})
            async with self.running(tmp_path, rig) as (manager, _):
                await asyncio.gather(*(talk(manager, name, 5) for name in "ab"))
            return rig

        rig = self.run(look())
        one, two = (follower.threads for follower in rig.followers.values())
        assert len(one) == len(two) == 1, "all calls of a follower come on one thread"
        assert not one & two, "which is not another's"
        assert threading.get_ident() not in one | two, "nor the event loop's"

    def test_what_followers_find_comes_back_under_their_label(self, tmp_path: Path) -> None:
        async def look() -> tuple[Rig, int]:
            async with self.running(tmp_path) as (manager, rig):
                lane = await manager.open("a", SlotOptions())
                await lane.push(Block(voice(4), AudioFormat()))
                await lane.drain()
                await lane.close()
                return rig, len(rig.found)

        rig, at_close = self.run(look())
        assert [label for label, _ in rig.found] == ["keep"] * 3, "two words in four frames, and one at the end"
        assert at_close == 3, "close waits for what the followers held back"

    def test_a_call_on_a_followers_thread_sees_everything_before_it(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.running(tmp_path) as (manager, rig):
                keep = rig.followers["keep"]
                lane = await manager.open("a", SlotOptions())
                await lane.push(Block(voice(7), AudioFormat()))
                await lane.drain()
                count, thread = await manager.call("keep", lambda: (len(keep.records), threading.get_ident()))
                assert count == 7
                assert {thread} == keep.threads
                with pytest.raises(ZeroDivisionError):
                    await manager.call("keep", lambda: 1 // 0)
                await lane.close()

        self.run(look())

    def test_a_raising_follower_disturbs_nobody(self, tmp_path: Path) -> None:
        async def look() -> Rig:
            rig = Rig(followers={"bad": KeepingFollower(), "good": KeepingFollower()})
            rig.followers["bad"].on_feed = lambda _step: fail()
            async with self.running(tmp_path, rig) as (manager, _):
                await talk(manager, "a", 5)
            return rig

        rig = self.run(look())
        assert len(rig.frames["a"]) == len(rig.followers["good"].records) == 5
        assert rig.broken == []

    def test_a_follower_that_stands_still_costs_bounded_memory(self, tmp_path: Path) -> None:
        """Records that find no room are skipped and said in `missed_before`, or the sender waits; no audio is lost."""

        async def look() -> tuple[int, Rig, int]:
            gate, rig = threading.Event(), Rig()
            rig.followers["keep"].on_feed = lambda _step: void(gate.wait())
            async with self.running(tmp_path, rig) as (manager, _):
                lane = await manager.open("a", SlotOptions())
                sending = asyncio.create_task(in_small_blocks(lane, ENOUGH, drained=True))
                try:
                    await standstill(sending, lambda: len(rig.frames.get("a", ())))
                    ahead = len(rig.frames["a"])
                    skipped: int = manager.measures().skipped_records["keep"]
                finally:
                    gate.set()  # else nobody could leave the manager
                await sending
                await lane.drain()
                await lane.close()
            return ahead - skipped, rig, skipped

        waiting, rig, skipped = self.run(look())
        assert waiting <= self.most_waiting, "the queue of a follower is bounded"
        keep = rig.followers["keep"]
        missed = sum(record.missed_before for record in keep.records)
        assert len(rig.frames["a"]) == ENOUGH, "a slow follower loses no audio"
        assert missed <= skipped, "missed_before says no more than was skipped"
        last = keep.records[-1].frame + 1
        assert len(keep.records) + missed == last, "every record is given or counted in a later one's missed_before"
