"""The suite of streaming managers: a frame's way."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from coda_core.audio import FRAME_SAMPLES, AudioFormat, Block
from coda_core.errors import ConversationBroken
from coda_core.events import Gap
from coda_core.interfaces import Measures, SlotOptions, StepInput
from coda_core.testing.conformance.manager_suite import ENOUGH, ManagerSuite, in_small_blocks, standstill, talk, voice
from coda_core.testing.rig import Rig

__all__ = ["FrameChecks"]


class FrameChecks(ManagerSuite):
    """What is sent is answered once, in order and apart from others; what is not is counted."""

    def test_every_frame_is_answered_once_and_in_order(self, tmp_path: Path) -> None:
        async def look() -> Rig:
            async with self.running(tmp_path) as (manager, rig):
                lane = await manager.open("a", SlotOptions())
                spoken = voice(6)
                for part in np.split(spoken, [100, 2_000, 2_001, 9_000]):
                    await lane.push(Block(part, AudioFormat()))
                await lane.drain()
                answered = len(rig.frames["a"])
                await lane.close()
                assert answered == 6, "drain returns when everything sent so far is answered"
                assert np.allclose(rig.pcm("a"), -spoken, atol=1e-6), "blocks are cut into frames, once and in order"
            return rig

        rig = self.run(look())
        assert [frame.frame for frame in rig.frames["a"]] == list(range(6))
        heard = np.concatenate([frame.heard for frame in rig.frames["a"]])
        assert np.allclose(heard, voice(6), atol=1e-6), "`heard` is what the model heard"

    def test_blocks_of_any_format_are_taken(self, tmp_path: Path) -> None:
        async def look(block: Block) -> int:
            async with self.running(tmp_path) as (manager, rig):
                lane = await manager.open("a", SlotOptions())
                await lane.push(block)
                await lane.drain()
                await lane.close()
                return sum(len(frame.pcm) for frame in rig.frames["a"])

        tone = np.sin(np.arange(48_000) / 20)
        stereo = np.stack([tone, tone], axis=1)
        for block in (
            Block((stereo * 20_000).astype(np.int16), AudioFormat(48_000, 2, "int16")),
            Block((tone[:8_000] * 20_000).astype("<i2").tobytes(), AudioFormat(8_000, 1, "int16")),
        ):
            assert self.run(look(block)) == pytest.approx(24_000, abs=2 * FRAME_SAMPLES), (
                "a second stays a second at 24 kHz"
            )

    def test_drain_fills_the_last_frame_with_silence(self, tmp_path: Path) -> None:
        async def look() -> NDArray[np.float32]:
            async with self.running(tmp_path) as (manager, rig):
                lane = await manager.open("a", SlotOptions())
                await lane.push(Block(voice(1)[:700], AudioFormat()))
                await lane.drain()
                await lane.close()
                return rig.pcm("a")

        pcm = self.run(look())
        assert len(pcm) == FRAME_SAMPLES
        assert np.allclose(pcm[:700], -voice(1)[:700], atol=1e-6)
        assert not pcm[700:].any()

    def test_samples_that_are_no_numbers_become_silence(self, tmp_path: Path) -> None:
        async def look() -> int:
            async with self.running(tmp_path) as (manager, rig):
                lane = await manager.open("a", SlotOptions())
                spoken = voice(1)
                spoken[10:20] = np.nan
                spoken[30] = np.inf
                await lane.push(Block(spoken, AudioFormat()))
                await lane.drain()
                count: int = lane.measures().nan_samples
                await lane.close()
                assert np.isfinite(rig.pcm("a")).all(), "a model that hears NaN is lost for good"
                return count

        assert self.run(look()) == 11, "and they are counted"

    def test_all_audio_of_a_step_is_handed_over_at_once(self, tmp_path: Path) -> None:
        async def look() -> Rig:
            async with self.running(tmp_path) as (manager, rig):
                rig.processor.batches.clear()
                await asyncio.gather(*(talk(manager, name, 8) for name in "abc"))
            return rig

        rig = self.run(look())
        assert len(rig.hand_overs) == len(rig.processor.batches), "one call of `deliver` for one step"
        assert sorted(map(len, rig.hand_overs)) == sorted(map(len, rig.processor.batches))
        assert rig.told_on == {threading.get_ident()}, "what the wiring brings is called on the event loop"

    def test_conversations_are_kept_apart(self, tmp_path: Path) -> None:
        """Side by side, one ahead of the other, each is answered as it is alone."""

        async def look(names: str) -> dict[str, tuple[NDArray[np.float32], list[int]]]:
            async with self.running(tmp_path) as (manager, rig):
                await asyncio.gather(*(talk(manager, name, 4 + ord(name) % 3, seed=ord(name)) for name in names))
                keep = rig.followers["keep"]
                return {name: (rig.pcm(name), [record.token for record in keep.of(name)]) for name in names}

        together = self.run(look("abc"))
        for name in "abc":
            pcm, tokens = self.run(look(name))[name]
            assert np.array_equal(together[name][0], pcm), f"conversation {name} was answered otherwise than alone"
            assert together[name][1] == tokens

    def test_input_that_finds_no_room_is_counted_or_waits(self, tmp_path: Path) -> None:
        async def look() -> None:
            gate, entered = threading.Event(), threading.Event()
            rig = Rig()

            def wait(_batch: StepInput) -> None:
                entered.set()
                gate.wait()

            async with self.running(tmp_path, rig) as (manager, _):
                lane = await manager.open("a", SlotOptions())
                rig.processor.on_step = wait
                sending = asyncio.create_task(in_small_blocks(lane, ENOUGH))
                entering = asyncio.create_task(asyncio.to_thread(entered.wait))
                try:
                    # One that ends who sends too much may do so before its first step.
                    await asyncio.wait((entering, sending), return_when=asyncio.FIRST_COMPLETED)
                    await standstill(sending, lambda: lane.measures().queued_frames)
                    queued = lane.measures().queued_frames
                finally:
                    gate.set()  # else nobody could leave the manager
                    entered.set()
                await entering
                assert queued <= self.most_waiting, "the queue of a conversation is bounded"
                try:
                    await sending
                    await lane.drain()
                except ConversationBroken:
                    return  # it ends who sends too much, and says so
                dropped = lane.measures().dropped_frames
                assert len(rig.frames["a"]) + dropped == ENOUGH, "each frame is answered, or counted as dropped"
                gaps = [event for event in rig.reported if isinstance(event, Gap)]
                assert sum(gap.frames for gap in gaps) == dropped, "whoever reads is told of the gap"
                assert manager.measures().dropped_frames == dropped
                await lane.close()

        self.run(look())

    def test_paused_stands_still_and_keeps_its_input(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.running(tmp_path) as (manager, rig):
                lane, other = await manager.open("a", SlotOptions()), await manager.open("b", SlotOptions())
                await lane.push(Block(voice(2), AudioFormat()))
                await lane.drain()
                await lane.pause()
                stepped = len(rig.processor.batches)
                await lane.push(Block(voice(3, 1), AudioFormat()))
                await other.push(Block(voice(4), AudioFormat()))
                await asyncio.wait_for(other.drain(), 10)
                assert len(rig.frames["a"]) == 2, "a paused conversation is not stepped"
                assert all(len(batch) == 1 for batch in rig.processor.batches[stepped:])
                assert lane.measures().paused
                await other.pause()
                await lane.resume()
                await lane.drain()
                assert np.allclose(rig.pcm("a"), -np.concatenate([voice(2), voice(3, 1)]), atol=1e-6)
                await lane.close()
                await other.close()

        self.run(look())

    def test_measures_say_what_happened(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.running(tmp_path) as (manager, _):
                lane = await manager.open("a", SlotOptions())
                await lane.push(Block(voice(6), AudioFormat()))
                await lane.drain()
                measures = manager.measures()
                assert isinstance(measures, Measures)
                assert (measures.capacity, measures.live, measures.paused) == (manager.admit().capacity, 1, 0)
                assert (measures.frames, measures.dropped_frames) == (6, 0)
                assert measures.skipped_records == {"keep": 0}
                assert measures.conversations["a"].frames == lane.measures().frames == 6
                assert lane.measures().next_frame == 6, "who sends again goes on behind what was taken"
                assert measures.stages_s["step"].count > 0
                await lane.close()
                assert manager.measures().live == 0

        self.run(look())
