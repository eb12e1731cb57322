from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray

from coda_core.audio import AudioFormat, Block
from coda_core.errors import ConversationBroken, ConversationClosed, Full, OutOfMemory, ProcessorLost
from coda_core.events import Event, Fault, Gap
from coda_core.interfaces import Measured, ProcessorInfo, SlotOptions, StepInput, StepOutput, StepRecord
from coda_core.testing import ManualClock, ScriptedProcessor
from coda_streaming.config import OfflineConfig, RealtimeConfig
from coda_streaming.lane import StreamLane
from tests.coda_streaming.conftest import Bench, OpenBench

FRAME = 1_920


def frames(count: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, count * FRAME).astype(np.float32)


def block(count: int, seed: int = 0) -> Block:
    return Block(frames(count, seed), AudioFormat())


async def open_lane(bench: Bench, name: str = "ada") -> StreamLane:
    return await bench.manager.open(name, SlotOptions(seed=1))


def spoken(bench: Bench, name: str) -> NDArray[np.float32]:
    return np.concatenate([frame.pcm for frame in bench.frames[name]])


class Recorder:
    """A follower that keeps what it got, and waits where a test says so."""

    def __init__(self) -> None:
        self.records: list[StepRecord] = []
        self.lives: list[tuple[str, str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)

    def open(self, conversation: str, info: ProcessorInfo) -> None:
        self.lives.append(("open", conversation))

    def feed(self, step: Sequence[StepRecord]) -> Sequence[Event]:
        self.entered.release()
        self.gate.wait()
        self.records.extend(step)
        return [Gap(conversation=record.conversation, frame=record.frame) for record in step if record.token == 1]

    def close(self, conversation: str) -> Sequence[Event]:
        self.lives.append(("close", conversation))
        return [Gap(conversation=conversation, frames=99)]


@pytest.mark.parametrize("config", [RealtimeConfig(), OfflineConfig()])
async def test_every_frame_is_answered_once_in_order(
    open_bench: OpenBench, config: RealtimeConfig | OfflineConfig
) -> None:
    follower = Recorder()
    async with open_bench(config, followers={"rec": follower}) as bench:
        lane = await open_lane(bench)
        await lane.push(block(7))
        await lane.push(Block(np.zeros(100, np.float32), AudioFormat()))
        await lane.drain()
        assert [frame.frame for frame in bench.frames["ada"]] == list(range(8))
        np.testing.assert_array_equal(spoken(bench, "ada")[: 7 * FRAME], -frames(7))
        assert lane.measures().frames == 8
        assert bench.manager.measures().stages_s["end_to_end"].count == 8
        await lane.close()
    assert [record.frame for record in follower.records] == list(range(8))
    assert [event for _, event in bench.found if isinstance(event, Gap) and event.frames == 99]
    assert follower.lives == [("open", "ada"), ("close", "ada")]
    assert bench.processor.opened == {}


async def test_a_step_takes_everybody_who_is_ready(open_bench: OpenBench) -> None:
    clock = ManualClock()
    async with open_bench(RealtimeConfig(gather_ms=20), clock=clock) as bench:
        lanes = [await open_lane(bench, name) for name in ("a", "b", "c")]
        bench.processor.batches.clear()
        for lane in lanes:
            await lane.push(block(1))
        for lane in lanes:
            await lane.drain()
        assert bench.processor.batches == [(0, 1, 2)]
        assert bench.hand_overs == [3]


async def test_no_lock_is_held_while_the_model_steps(open_bench: OpenBench) -> None:
    async with open_bench(RealtimeConfig(gather_ms=0)) as bench:
        lane, other = await open_lane(bench, "a"), await open_lane(bench, "b")
        stepping, go_on = threading.Event(), threading.Event()

        def hold(batch: StepInput) -> None:
            stepping.set()
            go_on.wait()

        bench.processor.on_step = hold
        await lane.push(block(1))
        await asyncio.to_thread(stepping.wait)
        try:
            assert bench.manager.worker.lock.acquire(blocking=False)
            bench.manager.worker.lock.release()
            await other.push(block(3))
            assert other.measures().queued_frames == bench.manager.measures().conversations["b"].queued_frames == 3
            assert not bench.manager.admit().reason
        finally:
            go_on.set()
        await lane.drain()
        await other.drain()


async def test_nobody_waits_for_a_straggler_longer_than_gather_ms(open_bench: OpenBench) -> None:
    clock = ManualClock()
    async with open_bench(RealtimeConfig(gather_ms=20), clock=clock) as bench:
        early, _straggler = await open_lane(bench, "early"), await open_lane(bench, "straggler")
        bench.processor.batches.clear()
        await early.push(block(1))
        clock.advance(0.019)
        await bench.manager.worker.call(lambda: None)
        assert bench.processor.batches == []
        clock.advance(0.002)
        await early.drain()
        assert bench.processor.batches == [(0,)]


async def test_a_paused_lane_is_not_waited_for_and_keeps_its_input(open_bench: OpenBench) -> None:
    clock = ManualClock()
    async with open_bench(RealtimeConfig(), clock=clock) as bench:
        paused, other = await open_lane(bench, "paused"), await open_lane(bench, "other")
        await paused.pause()
        await paused.push(block(3))
        await other.push(block(2))
        await other.drain()
        assert "paused" not in bench.frames
        assert paused.measures().paused
        assert paused.measures().queued_frames == 3
        await other.pause()
        await paused.resume()
        await paused.drain()
        np.testing.assert_array_equal(spoken(bench, "paused"), -frames(3))


@pytest.mark.parametrize(("overflow", "kept"), [("drop-oldest", slice(2, 7)), ("drop-newest", slice(0, 5))])
async def test_overflow_drops_by_policy_and_says_so(open_bench: OpenBench, overflow: str, kept: slice) -> None:
    config = RealtimeConfig(buffer_frames=5, overflow=overflow)  # type: ignore[arg-type]
    async with open_bench(config) as bench:
        lane = await open_lane(bench)
        await lane.pause()
        await lane.push(block(7))
        await lane.resume()
        await lane.drain()
        np.testing.assert_array_equal(spoken(bench, "ada"), -frames(7).reshape(7, FRAME)[kept].ravel())
        assert lane.measures().dropped_frames == bench.manager.measures().dropped_frames == 2
        assert lane.measures().drop_rate == bench.manager.measures().drop_rate == 2 / 7
        assert [event for event in bench.reported if isinstance(event, Gap)] == [
            Gap(conversation="ada", frame=0, frames=2)
        ]


async def test_what_was_dropped_before_the_end_is_said_at_the_end(open_bench: OpenBench) -> None:
    async with open_bench(RealtimeConfig(buffer_frames=5)) as bench:
        lane = await open_lane(bench)
        await lane.push(block(2))
        await lane.drain()
        await lane.pause()
        await lane.push(block(7))
        await lane.close()
        assert [event for event in bench.reported if isinstance(event, Gap)] == [
            Gap(conversation="ada", frame=2, frames=2)
        ]


async def test_overflow_can_end_the_conversation(open_bench: OpenBench) -> None:
    async with open_bench(RealtimeConfig(buffer_frames=5, overflow="disconnect")) as bench:
        lane = await open_lane(bench)
        await lane.pause()
        with pytest.raises(ConversationBroken, match="more than 5 frames"):
            await lane.push(block(7))
        assert [name for name, _ in bench.broken] == ["ada"]
        assert bench.processor.opened == {}
        with pytest.raises(ConversationBroken):
            await lane.push(block(1))


async def test_offline_makes_the_sender_wait_and_loses_nothing(open_bench: OpenBench) -> None:
    async with open_bench(OfflineConfig(buffer_frames=2)) as bench:
        lane = await open_lane(bench)
        await lane.pause()
        pushing = asyncio.create_task(lane.push(block(50)))
        await asyncio.sleep(0)
        assert not pushing.done()
        assert lane.measures().queued_frames == 2
        await lane.resume()
        await pushing
        await lane.drain()
        np.testing.assert_array_equal(spoken(bench, "ada"), -frames(50))
        assert lane.measures().dropped_frames == 0


async def test_offline_waits_for_a_slow_follower(open_bench: OpenBench) -> None:
    follower = Recorder()
    follower.gate.clear()
    async with open_bench(OfflineConfig(follower_queue_steps=3), followers={"slow": follower}) as bench:
        lane = await open_lane(bench)
        pushing = asyncio.create_task(lane.push(block(20)))
        await asyncio.to_thread(follower.entered.acquire)
        follower.gate.set()
        await pushing
        await lane.drain()
        await bench.manager.call("slow", lambda: None)
        assert [record.frame for record in follower.records] == list(range(20))
        assert bench.manager.measures().skipped_records == {"slow": 0}


async def test_in_real_time_a_slow_follower_skips_and_is_told_how_much(open_bench: OpenBench) -> None:
    follower = Recorder()
    async with open_bench(RealtimeConfig(follower_queue_steps=3), followers={"slow": follower}) as bench:
        lane = await open_lane(bench)
        follower.gate.clear()
        await lane.push(block(1))
        await asyncio.to_thread(follower.entered.acquire)
        await lane.push(block(10, seed=1))
        await lane.drain()
        assert len(bench.frames["ada"]) == 11
        follower.gate.set()
        await bench.manager.call("slow", lambda: None)
        await lane.push(block(1))
        await lane.drain()
        await bench.manager.call("slow", lambda: None)
        assert [(record.frame, record.missed_before) for record in follower.records] == [
            (0, 0),
            (1, 0),
            (2, 0),
            (3, 0),
            (11, 7),
        ]
        assert bench.manager.measures().skipped_records == {"slow": 7}


async def test_a_raising_follower_disturbs_nobody(open_bench: OpenBench, caplog: pytest.LogCaptureFixture) -> None:
    class Raising(Recorder):
        def feed(self, step: Sequence[StepRecord]) -> Sequence[Event]:
            raise RuntimeError("out of ideas")

    sound = Recorder()
    async with open_bench(OfflineConfig(), followers={"bad": Raising(), "good": sound}) as bench:
        lane = await open_lane(bench)
        await lane.push(block(5))
        await lane.drain()
        await bench.manager.call("good", lambda: None)
        await lane.close()
    assert len(bench.frames["ada"]) == len(sound.records) == 5
    assert caplog.text.count("RuntimeError: out of ideas") == 1


async def test_records_carry_levels_and_activity_of_both_sides_and_frames_the_activity(open_bench: OpenBench) -> None:
    follower = Recorder()
    loud = np.full(FRAME, 0.1, np.float32)
    async with open_bench(OfflineConfig(), followers={"rec": follower}) as bench:
        lane = await open_lane(bench)
        await lane.push(Block(np.concatenate([np.zeros(FRAME, np.float32), loud]), AudioFormat()))
        await lane.drain()
        await lane.close()
    quiet, speech = follower.records
    assert (quiet.heard_dbfs, quiet.caller_speaking, quiet.moshi_speaking) == (-120.0, False, False)
    assert speech.heard_dbfs == pytest.approx(-20.0, abs=0.01)
    assert (speech.caller_speaking, speech.moshi_speaking) == (True, True)
    told = [(frame.caller_speaking, frame.moshi_speaking) for frame in bench.frames["ada"]]
    assert told == [(record.caller_speaking, record.moshi_speaking) for record in follower.records]


async def test_samples_that_are_not_finite_become_silence_and_are_counted(open_bench: OpenBench) -> None:
    """Also in frames that come whole, which nobody looks at before the step."""
    follower = Recorder()
    bad = frames(3)
    bad[[5, FRAME + 7, FRAME + 8, 2 * FRAME]] = np.nan, np.inf, -np.inf, np.nan
    async with open_bench(OfflineConfig(), followers={"rec": follower}) as bench:
        sick, sound = await open_lane(bench, "sick"), await open_lane(bench, "sound")
        for at in range(3):
            await sick.push(Block(bad[at * FRAME : (at + 1) * FRAME], AudioFormat()))
            await sound.push(Block(frames(1, seed=at), AudioFormat()))
        await sick.drain()
        await sound.drain()
        assert (sick.measures().nan_samples, sound.measures().nan_samples) == (4, 0)
        clean = np.where(np.isfinite(bad), bad, 0)
        np.testing.assert_array_equal(spoken(bench, "sick"), -clean)
        for name, heard in (("sick", clean), ("sound", np.concatenate([frames(1, seed=at) for at in range(3)]))):
            np.testing.assert_array_equal(np.concatenate([frame.heard for frame in bench.frames[name]]), heard)
        await bench.manager.call("rec", lambda: None)
    assert all(np.isfinite(record.heard_dbfs) for record in follower.records)


async def test_what_readers_share_nobody_can_write_to(open_bench: OpenBench) -> None:
    """Also where a processor answers with the very memory that it was given, which is used again."""

    class Mirror(ScriptedProcessor):
        def step(self, batch: StepInput) -> StepOutput:
            return attrs.evolve(super().step(batch), pcm=batch.pcm)

    for processor in (ScriptedProcessor(), Mirror()):
        async with open_bench(OfflineConfig(), processor=processor) as bench:
            lane = await open_lane(bench)
            for at in range(3):
                await lane.push(block(1, seed=at))
            await lane.push(block(2, seed=3))
            await lane.push(Block(np.full(100, 0.1, np.float32), AudioFormat()))
            await lane.drain()
            given = np.concatenate([frames(1, seed=at) for at in range(3)] + [frames(2, seed=3)])
            for frame in bench.frames["ada"]:
                assert not frame.heard.flags.writeable
                assert not frame.pcm.flags.writeable
            np.testing.assert_array_equal(
                np.concatenate([each.heard for each in bench.frames["ada"]])[: 5 * FRAME], given
            )
            expected = given if isinstance(processor, Mirror) else -given
            np.testing.assert_array_equal(spoken(bench, "ada")[: 5 * FRAME], expected)


@pytest.mark.parametrize("config", [RealtimeConfig(), OfflineConfig()])
async def test_an_exception_in_a_step_ends_those_who_took_part_and_nobody_else(
    open_bench: OpenBench, config: RealtimeConfig | OfflineConfig
) -> None:
    follower = Recorder()
    async with open_bench(config, followers={"rec": follower}) as bench:
        torn, masked = await open_lane(bench, "torn"), await open_lane(bench, "masked")

        def explode(batch: StepInput) -> None:
            raise RuntimeError("a layer exploded")

        bench.processor.on_step = explode
        await torn.push(block(3))
        with pytest.raises(ConversationBroken, match="a layer exploded"):
            await torn.drain()
        bench.processor.on_step = lambda batch: None
        await masked.push(block(3))
        await masked.drain()
        np.testing.assert_array_equal(spoken(bench, "masked"), -frames(3))
        await bench.manager.call("rec", lambda: None)
        assert ("close", "torn") in follower.lives
        assert list(bench.processor.opened) == [masked.slot]
        fresh = await open_lane(bench, "fresh")
        assert fresh.slot == torn.slot
    assert [name for name, _ in bench.broken] == ["torn"]


async def test_a_poisoned_slot_ends_alone(open_bench: OpenBench) -> None:
    async with open_bench(OfflineConfig()) as bench:
        sick, sound = await open_lane(bench, "sick"), await open_lane(bench, "sound")
        bench.processor.poisoned.add(sick.slot)
        await sick.push(block(2))
        await sound.push(block(2))
        await sound.drain()
        with pytest.raises(ConversationBroken, match="no longer finite"):
            await sick.drain()
        np.testing.assert_array_equal(spoken(bench, "sound"), -frames(2))


@pytest.mark.parametrize("raised", [None, RuntimeError("a layer exploded"), OutOfMemory("cuda:0 ran out of memory")])
async def test_a_fault_can_restart_the_conversation(open_bench: OpenBench, raised: Exception | None) -> None:
    def explode(batch: StepInput) -> None:
        processor.on_step = lambda batch: None
        assert raised is not None
        raise raised

    processor = ScriptedProcessor(delay_frames=1)
    async with open_bench(OfflineConfig(on_fault="restart"), processor=processor) as bench:
        lane = await open_lane(bench)
        await lane.push(block(3))
        await lane.drain()
        if raised is None:
            processor.poisoned.add(lane.slot)
        else:
            processor.on_step = explode
        await lane.push(block(3, seed=1))
        await lane.drain()
        valid = [(frame.frame, frame.valid) for frame in bench.frames["ada"]]
        assert valid == [(0, False), (1, True), (2, True), (4, False), (5, True)]
        (fault,) = [event for event in bench.reported if isinstance(event, Fault)]
        assert (fault.frame, fault.restarted) == (4, True)
        assert ("no longer finite" if raised is None else str(raised)) in fault.message
        assert bench.broken == []


async def test_a_lost_processor_ends_everything_at_once(open_bench: OpenBench) -> None:
    async with open_bench(OfflineConfig()) as bench:
        lanes = [await open_lane(bench, name) for name in ("a", "b")]

        def lose(batch: StepInput) -> None:
            raise ProcessorLost("the CUDA context is gone")

        bench.processor.on_step = lose
        await lanes[0].push(block(1))
        with pytest.raises(ConversationBroken, match="CUDA context"):
            await lanes[0].drain()
        assert [str(error) for error in bench.lost] == ["the CUDA context is gone"]
        assert not bench.manager.admit().ok
        with pytest.raises(ConversationBroken):
            await lanes[1].push(block(1))


@pytest.mark.parametrize("act", ["open", "close", "export", "restarting"])
async def test_a_loss_that_shows_between_steps_ends_everything_too(open_bench: OpenBench, act: str) -> None:
    """Nobody may be there to step and find out."""

    class Dying(ScriptedProcessor):
        dead = False

        def open(self, slot: int, options: SlotOptions) -> int | None:
            self._look()
            return super().open(slot, options)

        def close(self, slot: int) -> None:
            self._look()
            super().close(slot)

        def export(self, slot: int) -> Mapping[str, NDArray[Any]]:
            self._look()
            return super().export(slot)

        def _look(self) -> None:
            if self.dead:
                raise ProcessorLost("the CUDA context is gone")

    processor = Dying()
    async with open_bench(OfflineConfig(on_fault="restart"), processor=processor) as bench:
        lane = await open_lane(bench)
        await lane.push(block(1))
        await lane.drain()
        processor.dead = True
        if act == "open":
            with pytest.raises(ProcessorLost):
                await open_lane(bench, "other")
        elif act == "close":
            await lane.close()
        elif act == "export":
            with pytest.raises(ProcessorLost):
                await lane.checkpoint()
        else:
            processor.poisoned.add(lane.slot)
            await lane.push(block(1))
            with pytest.raises(ConversationBroken, match="CUDA context"):
                await lane.drain()
        await bench.manager.worker.call(lambda: None)
        assert [str(error) for error in bench.lost] == ["the CUDA context is gone"]
        assert "the processor is lost" in bench.manager.admit().reason
        assert bench.manager.measures().live == 0


async def test_a_slot_that_cannot_be_wiped_is_given_to_nobody(
    open_bench: OpenBench, caplog: pytest.LogCaptureFixture
) -> None:
    class Sticky(ScriptedProcessor):
        def close(self, slot: int) -> None:
            if slot == 0 and stuck:
                raise RuntimeError("it sticks")
            super().close(slot)

    stuck, follower = False, Recorder()
    async with open_bench(RealtimeConfig(), processor=Sticky(slots=2), followers={"rec": follower}) as bench:
        lane = await open_lane(bench)
        stuck = True
        await lane.close()
        assert follower.lives[-1] == ("close", "ada")
        assert (await open_lane(bench, "b")).slot == 1
        with pytest.raises(Full, match="all 1 slots are taken"):
            await open_lane(bench, "c")
        stuck = False
    assert "slot 0 could not be wiped" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"token": np.zeros(99, np.int64)},
        {"pcm": np.zeros((1, 100), np.float32)},
        {"valid": [True]},
        {"stage_s": {"a": "b"}},
    ],
)
async def test_a_processor_that_returns_nonsense_ends_its_conversations_and_nobody_else(
    open_bench: OpenBench, wrong: dict[str, Any]
) -> None:
    class Careless(ScriptedProcessor):
        def step(self, batch: StepInput) -> StepOutput:
            return attrs.evolve(super().step(batch), **wrong)

    async with (
        open_bench(OfflineConfig(), processor=Careless(), worker="shared") as bad,
        open_bench(OfflineConfig(), worker="shared") as good,
    ):
        sick, sound = await open_lane(bad), await open_lane(good)
        await sick.push(block(1))
        with pytest.raises(ConversationBroken, match="a defect of its plugin"):
            await sick.drain()
        await sound.push(block(2))
        await sound.drain()


async def test_a_follower_that_returns_nonsense_is_counted(
    open_bench: OpenBench, caplog: pytest.LogCaptureFixture
) -> None:
    class Careless(Recorder):
        def feed(self, step: Sequence[StepRecord]) -> Sequence[Event]:
            return ["not an event"]  # type: ignore[list-item]

    async with open_bench(OfflineConfig(), followers={"bad": Careless()}) as bench:
        lane = await open_lane(bench)
        await lane.push(block(3))
        await lane.drain()
        await lane.close()
    assert caplog.text.count("TypeError: feed returned") == 1
    assert len(bench.found) == 1  # what it had to say when it was closed


async def test_a_full_house_refuses_with_capacity(open_bench: OpenBench) -> None:
    async with open_bench(RealtimeConfig(), processor=ScriptedProcessor(slots=2)) as bench:
        first, _second = await open_lane(bench, "a"), await open_lane(bench, "b")
        with pytest.raises(Full, match="all 2 slots are taken") as refusal:
            await open_lane(bench, "c")
        assert refusal.value.capacity == 2
        await first.close()
        await open_lane(bench, "c")


async def test_overload_refuses_newcomers_and_recovers_by_itself(open_bench: OpenBench) -> None:
    clock = ManualClock()
    step_s = 0.01

    def take_time(batch: StepInput) -> None:
        clock.advance(step_s)

    processor = ScriptedProcessor()
    processor.on_step = take_time
    async with open_bench(RealtimeConfig(headroom=0.1), processor=processor, clock=clock) as bench:
        lane = await open_lane(bench)
        step_s = 0.2
        await lane.push(block(30))
        await lane.drain()
        admission = bench.manager.admit()
        assert not admission.ok
        assert admission.load == pytest.approx(2.5)
        with pytest.raises(Full, match="no time to spare"):
            await open_lane(bench, "late")
        assert lane.measures().late_frames == 30
        step_s = 0.01
        for _ in range(3):
            await lane.push(block(50))
            await lane.drain()
        assert bench.manager.admit().ok
        await open_lane(bench, "later")


async def test_a_slow_moment_keeps_nobody_out_once_it_is_over_though_nobody_talks(open_bench: OpenBench) -> None:
    clock = ManualClock()
    processor = ScriptedProcessor()
    async with open_bench(RealtimeConfig(), processor=processor, clock=clock) as bench:
        lane = await open_lane(bench)
        processor.on_step = lambda batch: clock.advance(0.2)
        await lane.push(block(30))
        await lane.drain()
        await lane.pause()
        assert not bench.manager.admit().ok
        clock.advance(10.1)
        assert bench.manager.admit().ok


@pytest.mark.parametrize("overflow", ["drop-oldest", "drop-newest"])
async def test_overload_costs_frames_and_not_time_and_ends_by_itself(open_bench: OpenBench, overflow: str) -> None:
    """A caller in real time, of whose frames a step takes two and a half while it lasts."""
    clock = ManualClock()
    step_s = 0.01
    processor = ScriptedProcessor()
    processor.on_step = lambda batch: clock.advance(step_s)
    config = RealtimeConfig(buffer_frames=5, overflow=overflow)  # type: ignore[arg-type]
    async with open_bench(config, processor=processor, clock=clock) as bench:
        lane = await open_lane(bench)
        sent, due_s = 0, clock.now()

        async def talk(frames: int) -> int:
            """Send frames as they come due, with a step whenever one is there; return how many were dropped."""
            nonlocal sent, due_s
            before, until = lane.dropped, sent + frames
            while sent < until:
                clock.advance(max(0.0, due_s - clock.now()))
                await lane.pause()  # what a step takes passes only where this caller looks at it
                while due_s <= clock.now() and sent < until:
                    await lane.push(block(1, seed=sent))
                    sent += 1
                    due_s += 0.08
                answered = len(bench.frames.get("ada", ()))
                await lane.resume()
                while len(bench.frames.get("ada", ())) == answered:
                    await lane._wait()
            return lane.dropped - before

        assert await talk(20) == 0
        assert lane.measures().late_frames == 0
        step_s = 0.2
        assert await talk(200) > 50
        slow = lane.measures()
        assert slow.queued_frames <= 5
        assert slow.queue_s.maximum <= 6 * 0.2  # nobody waits longer than for a full queue
        assert not bench.manager.admit().ok
        step_s = 0.01
        await talk(20)  # what waits is worked off
        late = lane.measures().late_frames
        assert await talk(130) == 0
        await lane.drain()
        assert lane.measures().late_frames == late
        assert bench.manager.admit().ok
        told = sum(event.frames for event in bench.reported if isinstance(event, Gap))
        assert told == lane.dropped == sent - len(bench.frames["ada"])


async def test_models_that_share_a_worker_are_a_load_to_each_other(open_bench: OpenBench) -> None:
    clock = ManualClock()

    def processor() -> ScriptedProcessor:
        scripted = ScriptedProcessor()
        scripted.on_step = lambda batch: clock.advance(0.05)
        return scripted

    async with (
        open_bench(RealtimeConfig(), processor=processor(), clock=clock, worker="shared") as one,
        open_bench(RealtimeConfig(), processor=processor(), clock=clock, worker="shared") as two,
    ):
        first = await open_lane(one)
        for _ in range(20):
            await first.push(block(1))
            await first.drain()
        assert one.manager.admit().load == pytest.approx(0.625)
        second = await open_lane(two)
        for _ in range(30):
            for lane in (first, second):
                await lane.push(block(1))
                await lane.drain()
        for bench in (one, two):
            assert bench.manager.admit().load == pytest.approx(0.625 + 0.5)
            assert not bench.manager.admit().ok


async def test_fewer_slots_are_offered_where_a_full_batch_is_too_slow(
    open_bench: OpenBench, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    processor = ScriptedProcessor(slots=16)
    processor.on_step = lambda batch: clock.advance(0.010 * len(batch.slots))
    async with open_bench(RealtimeConfig(headroom=0.1), processor=processor, clock=clock) as bench:
        assert bench.manager.admit().capacity == 7
        assert "7 of 16 slots are offered" in caplog.text
        assert processor.opened == {}


async def test_a_machine_too_slow_for_one_says_so(open_bench: OpenBench, caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    processor = ScriptedProcessor()
    processor.on_step = lambda batch: clock.advance(0.5)
    async with open_bench(RealtimeConfig(), processor=processor, clock=clock) as bench:
        assert bench.manager.admit().capacity == 1
    assert "this is not real time" in caplog.text


async def test_silence_stands_in_for_missing_input_only_where_asked(open_bench: OpenBench) -> None:
    for asked, answered in ((False, 1), (True, 3)):
        clock = ManualClock()
        async with open_bench(RealtimeConfig(fill_missing=asked), clock=clock) as bench:
            lane = await open_lane(bench)
            await lane.push(block(1))
            await lane.drain()
            for _ in range(2):
                clock.advance(0.125)
                await bench.manager.worker.call(lambda: None)
                await bench.manager.worker.call(lambda: None)
                clock.advance(-0.045)
            assert lane.measures().frames == answered
            assert lane.measures().filled_frames == answered - 1
            if asked:
                assert not bench.frames["ada"][1].heard.any()


async def test_measures_are_told_to_observers(open_bench: OpenBench) -> None:
    clock = ManualClock()
    async with open_bench(RealtimeConfig(measures_interval_s=5), clock=clock) as bench:
        await open_lane(bench)
        await asyncio.sleep(0)
        for _ in range(3):
            clock.advance(5)
            event = await bench.events.get()
            assert isinstance(event, Measured)
            assert event.measures.live == 1
            assert event.measures.resident_bytes > 1_000_000


async def test_managers_that_name_one_worker_take_turns_on_one_thread(open_bench: OpenBench) -> None:
    threads: dict[str, set[int]] = {"one": set(), "two": set(), "own": set()}

    def processor(name: str) -> ScriptedProcessor:
        scripted = ScriptedProcessor()
        scripted.on_step = lambda batch: threads[name].add(threading.get_ident())
        return scripted

    async with (
        open_bench(OfflineConfig(), processor=processor("one"), worker="shared") as one,
        open_bench(OfflineConfig(), processor=processor("two"), worker="shared") as two,
        open_bench(OfflineConfig(), processor=processor("own")) as own,
    ):
        lanes = [await open_lane(bench) for bench in (one, two, own)]
        await asyncio.gather(*(lane.push(block(20)) for lane in lanes))
        await asyncio.gather(*(lane.drain() for lane in lanes))
        for bench in (one, two, own):
            np.testing.assert_array_equal(spoken(bench, "ada"), -frames(20))
    assert threads["one"] == threads["two"] != threads["own"]
    assert all(len(each) == 1 for each in threads.values())


async def test_a_cancelled_opening_gives_its_slot_back(open_bench: OpenBench) -> None:
    follower = Recorder()
    processor = ScriptedProcessor(slots=1)
    async with open_bench(OfflineConfig(), processor=processor, followers={"rec": follower}) as bench:
        for _ in range(3):
            opening = asyncio.create_task(open_lane(bench))
            await asyncio.sleep(0)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
        lane = await open_lane(bench)
        await lane.push(block(1))
        await lane.drain()


async def test_a_closed_lane_says_so(open_bench: OpenBench) -> None:
    async with open_bench(OfflineConfig()) as bench:
        lane = await open_lane(bench)
        await lane.close()
        await lane.close()
        with pytest.raises(ConversationClosed):
            await lane.push(block(1))


async def test_no_thread_outlives_its_manager(open_bench: OpenBench) -> None:
    before = set(threading.enumerate())
    async with open_bench(OfflineConfig(), followers={"rec": Recorder()}) as bench:
        await open_lane(bench)
        assert len(set(threading.enumerate()) - before) >= 2
    assert {thread for thread in threading.enumerate() if thread.name.startswith("coda-")} <= before
