"""The suite of streaming managers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, NoReturn

import numpy as np
import pytest
from numpy.typing import NDArray

from coda_core.audio import FRAME_SAMPLES, AudioFormat, Block
from coda_core.commands import Interrupt, Say
from coda_core.errors import (
    CodaError,
    ConversationBroken,
    ConversationClosed,
    ConversationParked,
    Full,
    ProcessorLost,
    StoreError,
)
from coda_core.events import Gap, Injection
from coda_core.interfaces import Admission, Lane, Measures, ParkedState, SlotOptions, StepInput, StepRecord
from coda_core.testing.conformance.component import Conformance
from coda_core.testing.processor import ScriptedProcessor
from coda_core.testing.rig import KeepingFollower, Rig

__all__ = ["StreamingManagerConformance"]

_TURNS: Final = (0, 1, 2, 3, 5, 8, 13, 21, 40)
_ENOUGH: Final = 800
"""Frames that are more than any queue of a test may hold."""


class StreamingManagerConformance(Conformance):
    """What every `coda_core.interfaces.StreamingManager` does, around a processor without a model.

    A manager that takes a capability out of its `info`, because it does not carry it, is not asked for that.

    Whatever it does to be in time, such as dropping or waiting, is its own: the suite asks that it is counted.
    """

    most_waiting: ClassVar[int] = 600
    """Frames of one conversation that may wait for the model, and steps that may wait for a follower."""

    # What it is, and how it begins and ends

    def test_has_the_methods_of_its_protocol(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.running(tmp_path) as (manager, rig):
                self.has_methods(manager, "run", "admit", "open", "call", "measures")
                assert isinstance(manager.realtime, bool)
                assert manager.info.fingerprint == rig.processor.info.fingerprint, "info is the processor's"
                lane = await manager.open("a", SlotOptions())
                self.has_methods(lane, "push", "drain", "pause", "resume", "command", "park", "close", "measures")
                await lane.close()

        self.run(look())

    def test_processor_lives_on_one_thread_of_its_own(self, tmp_path: Path) -> None:
        """It is entered, stepped and left on W, which is neither the event loop's nor a follower's."""

        async def look() -> tuple[Rig, set[int]]:
            stepped: set[int] = set()
            rig = Rig()
            rig.processor.on_step = lambda _batch: stepped.add(threading.get_ident())
            async with self.running(tmp_path, rig) as (manager, _):
                await _talk(manager, "a", 3)
            return rig, stepped

        rig, stepped = self.run(look())
        assert [what for what, _ in rig.life] == ["enter", "leave"], "the processor is entered once, and left"
        threads = {thread for _, thread in rig.life} | stepped
        assert len(threads) == 1, "everything that touches the processor runs on one thread"
        assert threading.get_ident() not in threads, "and not on the event loop's"
        assert not threads & rig.followers["keep"].threads, "nor on a follower's"

    def test_leaving_ends_every_thread(self, tmp_path: Path) -> None:
        before = set(threading.enumerate())

        async def look() -> None:
            async with self.running(tmp_path) as (manager, _):
                await _talk(manager, "a", 2)

        self.run(look())
        left = [each for each in set(threading.enumerate()) - before if not each.name.startswith("asyncio_")]
        assert left == [], "whoever leaves `run` finds none of its threads"

    def test_starting_may_be_cancelled_at_every_await(self, tmp_path: Path) -> None:
        async def cancel_after(turns: int) -> Rig:
            rig = Rig()

            async def start() -> None:
                async with self.running(tmp_path, rig):
                    await asyncio.Event().wait()

            starting = asyncio.create_task(start())
            await _turns(turns)
            starting.cancel()
            await asyncio.wait([starting])
            assert starting.cancelled(), "cancelled, it is to end by CancelledError"
            return rig

        before = set(threading.enumerate())
        for turns in _TURNS:
            rig = self.run(cancel_after(turns))
            entered = [what for what, _ in rig.life]
            assert entered in ([], ["enter", "leave"]), "a processor that was entered is left"
            left = [each for each in set(threading.enumerate()) - before if not each.name.startswith("asyncio_")]
            assert left == [], f"cancelled after {turns} turns of the loop, it left threads behind"

    # A frame's way

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
                await asyncio.gather(*(_talk(manager, name, 8) for name in "abc"))
            return rig

        rig = self.run(look())
        assert len(rig.hand_overs) == len(rig.processor.batches), "one call of `deliver` for one step"
        assert sorted(map(len, rig.hand_overs)) == sorted(map(len, rig.processor.batches))
        assert rig.told_on == {threading.get_ident()}, "what the wiring brings is called on the event loop"

    def test_conversations_are_kept_apart(self, tmp_path: Path) -> None:
        """Side by side, one ahead of the other, each is answered as it is alone."""

        async def look(names: str) -> dict[str, tuple[NDArray[np.float32], list[int]]]:
            async with self.running(tmp_path) as (manager, rig):
                await asyncio.gather(*(_talk(manager, name, 4 + ord(name) % 3, seed=ord(name)) for name in names))
                keep = rig.followers["keep"]
                return {name: (rig.pcm(name), [record.token for record in keep.of(name)]) for name in names}

        together = self.run(look("abc"))
        for name in "abc":
            pcm, tokens = self.run(look(name))[name]
            assert np.array_equal(together[name][0], pcm), f"conversation {name} was answered otherwise than alone"
            assert together[name][1] == tokens

    # Followers

    def test_followers_get_a_record_of_every_step(self, tmp_path: Path) -> None:
        async def look() -> Rig:
            rig = Rig(followers={"one": KeepingFollower(), "two": KeepingFollower()})
            async with self.running(tmp_path, rig) as (manager, _):
                await _talk(manager, "a", 9)
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
                await asyncio.gather(*(_talk(manager, name, 5) for name in "ab"))
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
            rig.followers["bad"].on_feed = lambda _step: _fail()
            async with self.running(tmp_path, rig) as (manager, _):
                await _talk(manager, "a", 5)
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
                sending = asyncio.create_task(_in_small_blocks(lane, _ENOUGH, drained=True))
                try:
                    await _standstill(sending, lambda: len(rig.frames.get("a", ())))
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
        assert len(rig.frames["a"]) == _ENOUGH, "a slow follower loses no audio"
        assert missed <= skipped, "missed_before says no more than was skipped"
        last = keep.records[-1].frame + 1
        assert len(keep.records) + missed == last, "every record is given or counted in a later one's missed_before"

    # Back-pressure

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
                sending = asyncio.create_task(_in_small_blocks(lane, _ENOUGH))
                entering = asyncio.create_task(asyncio.to_thread(entered.wait))
                try:
                    # One that ends who sends too much may do so before its first step.
                    await asyncio.wait((entering, sending), return_when=asyncio.FIRST_COMPLETED)
                    await _standstill(sending, lambda: lane.measures().queued_frames)
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
                assert len(rig.frames["a"]) + dropped == _ENOUGH, "each frame is answered, or counted as dropped"
                gaps = [event for event in rig.reported if isinstance(event, Gap)]
                assert sum(gap.frames for gap in gaps) == dropped, "whoever reads is told of the gap"
                assert manager.measures().dropped_frames == dropped
                await lane.close()

        self.run(look())

    # Pausing

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

    # Room

    def test_a_full_house_refuses_and_has_room_again(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.running(tmp_path, Rig(ScriptedProcessor(2))) as (manager, rig):
                admission = manager.admit()
                assert isinstance(admission, Admission)
                lanes = [await manager.open(str(at), SlotOptions()) for at in range(admission.capacity)]
                refused = manager.admit()
                assert not refused.ok
                assert refused.reason
                with pytest.raises(Full) as full:
                    await manager.open("one too many", SlotOptions())
                assert full.value.capacity == len(lanes)
                await lanes[0].close()
                assert manager.admit().ok
                again = await manager.open("again", SlotOptions())
                for lane in (*lanes[1:], again):
                    await lane.close()
                assert rig.processor.opened == {}, "a slot that is free is wiped"

        self.run(look())

    def test_opening_may_be_cancelled_at_every_await(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.running(tmp_path, Rig(ScriptedProcessor(1))) as (manager, rig):
                for turns in _TURNS:
                    opening = asyncio.create_task(manager.open(f"after {turns}", SlotOptions()))
                    await _turns(turns)
                    opening.cancel()
                    await asyncio.wait([opening])
                    if not opening.cancelled():
                        await opening.result().close()
                    lane = await manager.open("next", SlotOptions())
                    await lane.close()
                assert rig.processor.opened == {}
                opened = [name for call, name in rig.followers["keep"].calls if call == "open"]
                closed = [name for call, name in rig.followers["keep"].calls if call == "close"]
                assert sorted(opened) == sorted(closed), "followers forget a conversation that was never opened"

        self.run(look())

    def test_a_closed_lane_takes_nothing(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.running(tmp_path) as (manager, _):
                lane = await manager.open("a", SlotOptions())
                await lane.close()
                await lane.close()
                for work in (lane.push(Block(voice(1), AudioFormat())), lane.drain(), lane.pause(), lane.resume()):
                    with pytest.raises(ConversationClosed):
                        await work

        self.run(look())

    # Commands and prompts

    def test_a_command_reaches_the_processor_before_the_next_step(self, tmp_path: Path) -> None:
        async def look() -> Rig:
            async with self.running(tmp_path) as (manager, rig):
                if "say" not in manager.info.capabilities:
                    return rig
                lane = await manager.open("a", SlotOptions())
                await lane.push(Block(voice(3), AudioFormat()))
                await lane.drain()
                at = lane.command(Say(id=7, text="hello world", deadline_frames=4))
                assert at == 3, "it returns the index of the step that it acts from"
                await lane.push(Block(voice(8), AudioFormat()))
                await lane.drain()
                lane.command(Interrupt(frames=2))
                await lane.push(Block(voice(1), AudioFormat()))
                await lane.drain()
                await lane.close()
            return rig

        rig = self.run(look())
        if not rig.frames:
            return
        assert [type(command) for _, command in rig.processor.commands] == [Say, Interrupt]
        told = [event for event in rig.reported if isinstance(event, Injection)]
        assert [(event.conversation, event.command, event.status) for event in told] == [
            ("a", 7, "started"),
            ("a", 7, "finished"),
        ], "what the processor says of a command is reported as Injection, with its conversation and its text"
        assert {event.text for event in told} == {"hello world"}
        forced = [record.frame for record in rig.followers["keep"].records if record.injected]
        assert [event.frame for event in told] == [forced[0], forced[-1]], "and with the frame at which it was so"

    def test_a_prompt_is_taken_in_before_anything_is_heard(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.running(tmp_path) as (manager, rig):
                if "prompt" not in manager.info.capabilities:
                    return
                rig.processor.batches.clear()
                lane = await manager.open("a", SlotOptions(prompt="be brief and kind"))
                assert len(rig.processor.batches) >= 4, "open returns when the prompt is taken in"
                assert rig.frames.get("a", []) == [], "and nobody hears of its steps"
                await lane.push(Block(voice(2), AudioFormat()))
                await lane.drain()
                await lane.close()
                assert [frame.frame for frame in rig.frames["a"]] == [0, 1]
                assert np.allclose(rig.pcm("a"), -voice(2), atol=1e-6)

        self.run(look())

    # Parking

    def test_a_parked_conversation_goes_on_where_it_was(self, tmp_path: Path) -> None:
        """Audio, tokens, followers and input that waits: in another manager as if nothing had been."""

        async def park() -> ParkedState | None:
            saved: list[ParkedState] = []
            async with self.running(tmp_path) as (manager, rig):
                if "park" not in manager.info.capabilities:
                    return None
                lane = await manager.open("a", SlotOptions(seed=1))
                await lane.push(Block(voice(5), AudioFormat()))
                await lane.drain()
                await lane.pause()
                await lane.push(Block(voice(4, 1)[: 3 * FRAME_SAMPLES + 500], AudioFormat()))

                async def save(state: ParkedState) -> None:
                    assert rig.processor.opened, "the slot is wiped when its state is safe, and not before"
                    saved.append(state)

                await lane.park(save)
                assert rig.processor.opened == {}, "a parked conversation gives its slot back"
                with pytest.raises(ConversationParked):
                    await lane.push(Block(voice(1), AudioFormat()))
            return saved[0]

        async def go_on(state: ParkedState) -> Rig:
            async with self.running(tmp_path) as (manager, rig):
                other = await manager.open("other", SlotOptions())
                lane = await manager.open("a", SlotOptions(seed=1), state)
                assert rig.frames.get("a", []) == [], "it stands still until `resume`"
                await lane.resume()
                await lane.push(Block(voice(4, 1)[3 * FRAME_SAMPLES + 500 :], AudioFormat()))
                await lane.drain()
                # Audio does not wait for followers: what is called comes behind the records of those steps.
                held: list[int] = await manager.call("keep", lambda: list(rig.followers["keep"].held["a"]))
                await lane.close()
                await other.close()
                script = rig.processor.script
                assert held == [script[at % len(script)] for at in range(9)], "followers go on from what they exported"
            return rig

        state = self.run(park())
        if state is None:
            return
        assert isinstance(state, ParkedState)
        assert (state.conversation, state.frame) == ("a", 5)
        assert state.fingerprint == ScriptedProcessor().info.fingerprint
        assert state.followers == {"keep": b"[1, 3, 2, 3, 1]"}
        rig = self.run(go_on(state))
        assert [frame.frame for frame in rig.frames["a"]] == [5, 6, 7, 8], "it goes on with the frame after the last"
        assert np.allclose(rig.pcm("a"), -voice(4, 1), atol=1e-6), "input that waited is answered, to the sample"

    def test_a_conversation_that_cannot_be_saved_keeps_its_slot(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.running(tmp_path) as (manager, rig):
                if "park" not in manager.info.capabilities:
                    return
                lane = await manager.open("a", SlotOptions())
                await lane.push(Block(voice(2), AudioFormat()))
                await lane.drain()

                async def save(_state: ParkedState) -> None:
                    raise StoreError("the disk is full")

                with pytest.raises(StoreError, match="the disk is full"):
                    await lane.park(save)
                assert lane.measures().paused
                await lane.resume()
                await lane.push(Block(voice(2, 1), AudioFormat()))
                await lane.drain()
                assert np.allclose(rig.pcm("a"), -np.concatenate([voice(2), voice(2, 1)]), atol=1e-6)
                await lane.close()

        self.run(look())

    def test_a_state_of_another_model_is_refused(self, tmp_path: Path) -> None:
        async def look() -> None:
            saved: list[ParkedState] = []
            async with self.running(tmp_path) as (manager, _):
                if "park" not in manager.info.capabilities:
                    return
                lane = await manager.open("a", SlotOptions())
                await lane.push(Block(voice(2), AudioFormat()))
                await lane.drain()

                async def save(state: ParkedState) -> None:
                    saved.append(state)

                await lane.park(save)
            another = Rig(ScriptedProcessor(1, script=(1, 2, 3)))
            async with self.running(tmp_path, another) as (manager, _):
                with pytest.raises(CodaError):
                    await manager.open("a", SlotOptions(), saved[0])
                lane = await manager.open("b", SlotOptions())
                await lane.close()

        self.run(look())

    # Faults

    def test_a_torn_slot_ends_alone(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.running(tmp_path) as (manager, rig):
                lanes = {name: await manager.open(name, SlotOptions()) for name in "ab"}
                slots = sorted(rig.processor.opened)

                def poison(batch: StepInput) -> None:
                    rig.processor.poisoned = {slots[0]} & set(batch.slots.tolist()) if not rig.broken else set()

                rig.processor.on_step = poison
                for lane in lanes.values():
                    await lane.push(Block(voice(1), AudioFormat()))
                await rig.until(lambda: rig.broken)
                ((name, message),) = rig.broken
                assert message
                with pytest.raises(ConversationBroken):
                    await lanes[name].push(Block(voice(1), AudioFormat()))
                (other,) = set(lanes) - {name}
                await lanes[other].push(Block(voice(2, 1), AudioFormat()))
                await lanes[other].drain()
                assert len(rig.frames[other]) == 3
                await lanes[other].close()
                await manager.open(name, SlotOptions())

        self.run(look())

    def test_a_step_that_raises_ends_those_who_took_part(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.running(tmp_path) as (manager, rig):
                lane, other = await manager.open("a", SlotOptions()), await manager.open("b", SlotOptions())
                await other.pause()
                rig.processor.on_step = lambda _batch: _fail()
                await lane.push(Block(voice(1), AudioFormat()))
                await rig.until(lambda: rig.broken)
                assert [name for name, _ in rig.broken] == ["a"]
                rig.processor.on_step = lambda _batch: None
                await other.resume()
                await other.push(Block(voice(2), AudioFormat()))
                await other.drain()
                assert len(rig.frames["b"]) == 2
                await other.close()

        self.run(look())

    def test_a_lost_processor_is_said_and_nobody_new_gets_in(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.running(tmp_path) as (manager, rig):
                lane = await manager.open("a", SlotOptions())

                def lose(_batch: StepInput) -> NoReturn:
                    raise ProcessorLost("the device is gone")

                rig.processor.on_step = lose
                await lane.push(Block(voice(1), AudioFormat()))
                await rig.until(lambda: rig.lost)
                assert isinstance(rig.lost[0], ProcessorLost)
                assert not manager.admit().ok
                with pytest.raises(CodaError):
                    await manager.open("b", SlotOptions())
                with pytest.raises(CodaError):
                    await lane.push(Block(voice(1), AudioFormat()))

        self.run(look())

    # Measures

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

    # For checks

    @asynccontextmanager
    async def running(self, folder: Path, rig: Rig | None = None) -> AsyncIterator[tuple[Any, Rig]]:
        """Build the manager and run it around `rig`; yields both."""
        rig = rig if rig is not None else Rig()
        async with self.entered(folder) as manager, manager.run(rig.wiring):
            yield manager, rig


def voice(frames: int, seed: int = 0) -> NDArray[np.float32]:
    """Return so many frames of noise, loud enough for speech."""
    return np.random.default_rng(seed).uniform(-0.5, 0.5, frames * FRAME_SAMPLES).astype(np.float32)


def void(_result: object) -> None:
    """Make nothing of a result."""


async def _talk(manager: Any, name: str, frames: int, *, seed: int = 0) -> None:
    lane = await manager.open(name, SlotOptions(seed=1))
    await _in_small_blocks(lane, frames, seed=seed)
    await lane.drain()
    await lane.close()


async def _in_small_blocks(lane: Lane, frames: int, *, seed: int = 0, drained: bool = False) -> None:
    """Push frame by frame, and let others run in between; `drained` waits for the answers so that none is dropped."""
    whole = voice(min(frames, 64), seed)
    for at in range(frames):
        start = at % 64 * FRAME_SAMPLES
        await lane.push(Block(whole[start : start + FRAME_SAMPLES], AudioFormat()))
        await asyncio.sleep(0)
        if drained and at % 16 == 15:
            await lane.drain()


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _standstill(work: asyncio.Task[None], progress: Callable[[], int]) -> None:
    """Wait until `work` is done, or goes no further because it waits for room."""
    before = -1
    while not work.done():
        await asyncio.wait([work], timeout=0.3)
        now = progress()
        if now == before:
            return
        before = now


def _fail() -> NoReturn:
    raise RuntimeError("it fell over")
