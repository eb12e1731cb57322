from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coda_core.audio import FRAME_SAMPLES, AudioFormat, Block, rounded
from coda_core.commands import Cancel, Command, Interrupt, Say
from coda_core.errors import ConversationParked, Full, Incapable, ModelError, PluginError, StoreError
from coda_core.events import Event, Fault, Gap, Injection
from coda_core.interfaces import Lane, ParkedState, Processor, SlotOptions, StepRecord
from coda_core.parking import from_chunks, to_chunks
from coda_core.testing import ManualClock, ScriptedProcessor
from coda_moshi.config import EchoConfig
from coda_moshi.echo import Echo
from coda_streaming.config import OfflineConfig, RealtimeConfig
from coda_streaming.lane import StreamLane
from coda_streaming.lane_state import LaneState
from tests.coda_streaming.conftest import Keeper, OpenBench, noise, running, samples

OPTIONS = SlotOptions(seed=1, greeting=False)


async def parked(lane: Lane) -> ParkedState:
    """Park a lane, by way of a file."""
    kept: list[ParkedState] = []

    async def save(state: ParkedState) -> None:
        kept.append(from_chunks(to_chunks(state)))

    await lane.park(save)
    return kept[0]


async def answered(lane: StreamLane) -> None:
    """Wait until every whole frame is answered, without padding a partial one as `drain` does."""
    await lane.resume()
    while lane.unanswered:
        await lane._wait()
    await lane.pause()


# What a schedule is made of: samples to push, a command, "run" and "park".
COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(
        Say,
        id=st.integers(1, 50),
        text=st.sampled_from(["hello", "hello world !", "world world"]),
        deadline_frames=st.integers(0, 5),
        expires_frames=st.none() | st.integers(0, 6),
        yields=st.booleans(),
    ),
    st.builds(Cancel, id=st.integers(1, 50)),
    st.builds(Interrupt, frames=st.none() | st.integers(0, 4)),
)
SCHEDULES = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 9_000), st.sampled_from([0.001, 0.5])), COMMANDS, st.just("run"), st.just("park")
    ),
    min_size=3,
    max_size=14,
)


@attrs.define
class Outcome:
    pcm: list[NDArray[np.float32]]
    frames: list[int]
    records: list[tuple[Any, ...]]
    injections: list[tuple[Any, ...]]
    tokens: list[int]


async def lived(schedule: Sequence[Any], folder: Path, processors: Callable[[int], Processor], park: bool) -> Outcome:
    """Run a schedule on one bench after another of different size, moving on at each "park"."""
    keeper = Keeper()
    moves = [index for index, step in enumerate(schedule) if step == "park"] if park else []
    pcm: list[NDArray[np.float32]] = []
    frames: list[int] = []
    injections: list[tuple[Any, ...]] = []
    state: ParkedState | None = None
    used: set[int] = set()
    for number, (start, end) in enumerate(zip([0, *moves], [*moves, len(schedule)], strict=True)):
        async with running(folder, OfflineConfig(), processors(1 + number % 3), {"k": keeper}) as bench:
            if number % 3:  # somebody else may sit in the slot it had
                neighbour = await bench.manager.open("neighbour", SlotOptions())
                await neighbour.push(noise(3, 99))
            lane = await bench.manager.open("ada", OPTIONS, state)
            await lane.pause()
            for at, step in enumerate(schedule[start:end], start):
                if isinstance(step, tuple):
                    await lane.push(Block(samples(5, at, peak=step[1])[: step[0]], AudioFormat()))
                elif step == "run":
                    await answered(lane)
                elif step != "park" and not (isinstance(step, Say) and step.id in used):
                    used.update([step.id] if isinstance(step, Say) else [])
                    lane.command(step)
            if end < len(schedule):
                state = await parked(lane)
            else:
                await lane.resume()
                await lane.drain()
            frames += [frame.frame for frame in bench.frames.get("ada", [])]
            pcm += [frame.pcm for frame in bench.frames.get("ada", [])]
            tokens = await bench.manager.call("k", lambda: list(keeper.held.get("ada", [])))
            injections += [
                (event.command, event.status, event.frame, event.text)
                for event in bench.reported
                if isinstance(event, Injection)
            ]
    records = [(r.frame, r.token, r.injected, r.caller_speaking, r.moshi_speaking, r.heard.tobytes())
               for r in keeper.records if r.conversation == "ada"]  # fmt: skip
    return Outcome(pcm, frames, records, injections, tokens)


def scripted(slots: int) -> Processor:
    return ScriptedProcessor(slots + 1, script=(3, 1, 3, 3, 2, 3, 3), delay_frames=1)


def echoing(slots: int) -> Processor:
    return Echo(EchoConfig(conversations=slots + 1, delay_frames=3), ManualClock())


@pytest.mark.parametrize("processors", [scripted, echoing])
@settings(max_examples=40, deadline=None)
@given(schedule=SCHEDULES)
def test_parked_and_resumed_equals_uninterrupted(processors: Callable[[int], Processor], schedule: list[Any]) -> None:
    if processors is echoing:
        schedule = [step for step in schedule if not isinstance(step, (Say, Cancel, Interrupt))]
    whole = asyncio.run(lived(schedule, Path(), processors, park=False))
    moved = asyncio.run(lived(schedule, Path(), processors, park=True))
    assert moved.frames == whole.frames == list(range(len(whole.frames)))
    np.testing.assert_array_equal(np.array(moved.pcm), np.array(whole.pcm))
    assert moved.records == whole.records
    assert moved.injections == whole.injections
    assert moved.tokens == whole.tokens


async def test_parking_frees_the_slot_and_tells_followers_to_forget(open_bench: OpenBench) -> None:
    keeper = Keeper()
    async with open_bench(OfflineConfig(), processor=ScriptedProcessor(slots=1), followers={"k": keeper}) as bench:
        ada = await bench.manager.open("ada", SlotOptions())
        await ada.push(noise(3))
        await ada.drain()
        state = await parked(ada)
        assert (state.conversation, state.frame, state.fingerprint) == ("ada", 3, bench.manager.info.fingerprint)
        assert bench.processor.opened == {}
        assert keeper.held == {}
        assert bench.found == []  # what `close` flushes is part of the state
        for work in (ada.push(noise(1)), ada.drain(), ada.pause()):
            with pytest.raises(ConversationParked):
                await work
        bob = await bench.manager.open("bob", SlotOptions())
        with pytest.raises(Full):
            await bench.manager.open("ada", SlotOptions(), state)
        await bob.close()
        again = await bench.manager.open("ada", state.options, state)
        await again.resume()
        await again.push(noise(2, 1))
        await again.drain()
        assert [frame.frame for frame in bench.frames["ada"]] == [0, 1, 2, 3, 4]
        assert again.measures().frames == 5


async def test_others_go_on_while_one_is_saved(open_bench: OpenBench) -> None:
    async with open_bench(OfflineConfig()) as bench:
        ada, bob = await bench.manager.open("ada", SlotOptions()), await bench.manager.open("bob", SlotOptions())
        saving, may_end = asyncio.Event(), asyncio.Event()

        async def save(state: ParkedState) -> None:
            saving.set()
            await may_end.wait()

        parking = asyncio.create_task(ada.park(save))
        await saving.wait()
        await bob.push(noise(10))
        await bob.drain()
        assert len(bench.frames["bob"]) == 10
        with pytest.raises(ConversationParked, match="is being parked"):
            await ada.push(noise(1))
        assert len(bench.processor.opened) == 2
        may_end.set()
        await parking
        assert len(bench.processor.opened) == 1


async def test_where_saving_fails_it_stays_in_its_slot_and_stands_still(open_bench: OpenBench) -> None:
    async def fail(state: ParkedState) -> None:
        raise StoreError("disk full")

    keeper = Keeper()
    async with open_bench(OfflineConfig(), followers={"k": keeper}) as bench:
        lane = await bench.manager.open("ada", SlotOptions())
        await lane.push(noise(2))
        await lane.drain()
        with pytest.raises(StoreError, match="disk full"):
            await lane.park(fail)
        await lane.push(noise(3, 1))
        assert lane.measures().paused
        assert lane.measures().queued_frames == 3
        await lane.resume()
        await lane.drain()
        spoken = np.concatenate([frame.pcm for frame in bench.frames["ada"]])
        np.testing.assert_array_equal(spoken, -np.concatenate([samples(2), samples(3, 1)]))
        assert await bench.manager.call("k", lambda: len(keeper.held["ada"])) == 5
        assert (await parked(lane)).frame == 5


async def test_a_follower_that_cannot_export_prevents_it_and_is_named(open_bench: OpenBench) -> None:
    class Closed(Keeper):
        def export(self, conversation: str) -> bytes:
            raise RuntimeError("my state is my own")

    async with open_bench(OfflineConfig(), followers={"shy": Closed()}) as bench:
        lane = await bench.manager.open("ada", SlotOptions())
        with pytest.raises(
            PluginError, match=r'"shy" could not say what it holds .*: RuntimeError: my state is my own'
        ):
            await parked(lane)
        await lane.resume()
        await lane.push(noise(1))
        await lane.drain()
        assert len(bench.frames["ada"]) == 1


async def test_a_processor_that_cannot_or_fails_is_told_apart(open_bench: OpenBench) -> None:
    async with open_bench(OfflineConfig(), processor=ScriptedProcessor(capabilities=frozenset())) as bench:
        lane = await bench.manager.open("ada", SlotOptions())
        with pytest.raises(Incapable):
            await parked(lane)
    processor = ScriptedProcessor()

    def fail(slot: int) -> dict[str, NDArray[Any]]:
        raise MemoryError("no room for a copy")

    processor.export = fail  # type: ignore[method-assign]
    async with open_bench(OfflineConfig(), processor=processor) as bench:
        lane = await bench.manager.open("ada", SlotOptions())
        with pytest.raises(ModelError, match="could not export the conversation's state: no room for a copy"):
            await parked(lane)


async def test_a_state_of_another_model_or_manager_is_refused_and_takes_no_slot(open_bench: OpenBench) -> None:
    async with open_bench(OfflineConfig()) as bench:
        lane = await bench.manager.open("ada", SlotOptions())
        await lane.push(noise(3))
        state = await parked(lane)
        for change, message in (
            ({"fingerprint": "other"}, "parked by another model: its fingerprint is other"),
            ({"lane": b""}, "another streaming manager"),
            ({"lane": state.lane[:-4]}, "another streaming manager"),
            ({"lane": state.lane.replace(b'"version": 1', b'"version": 2')}, "another version"),
            ({"slot": {}}, "does not fit"),
        ):
            with pytest.raises(ModelError, match=message):
                await bench.manager.open("ada", state.options, attrs.evolve(state, **change))
            assert bench.processor.opened == {}
        again = await bench.manager.open("ada", state.options, state)
        await again.resume()
        await again.drain()
        assert len(bench.frames["ada"]) == 3


async def test_a_sender_that_waits_for_room_loses_nothing(open_bench: OpenBench) -> None:
    async with open_bench(OfflineConfig(buffer_frames=2)) as bench:
        lane = await bench.manager.open("ada", SlotOptions())
        await lane.pause()
        sending = asyncio.create_task(lane.push(noise(20)))
        await asyncio.sleep(0)
        state = await parked(lane)
        await sending
        again = await bench.manager.open("ada", SlotOptions(), state)
        await again.resume()
        await again.push(noise(1, 5))
        await again.drain()
        spoken = np.concatenate([frame.pcm for frame in bench.frames["ada"]])
        np.testing.assert_array_equal(spoken, -np.concatenate([samples(20), samples(1, 5)]))


async def test_who_waits_for_an_answer_is_told(open_bench: OpenBench) -> None:
    async with open_bench(OfflineConfig()) as bench:
        lane = await bench.manager.open("ada", SlotOptions())
        await lane.pause()
        await lane.push(noise(2))
        draining = asyncio.create_task(lane.drain())
        await asyncio.sleep(0)
        await parked(lane)
        with pytest.raises(ConversationParked):
            await draining


async def test_resampled_input_loses_no_sample(open_bench: OpenBench) -> None:
    """What the resampler holds comes out when it is parked; the next one starts behind it."""
    seconds = 2.0
    tone = np.sin(2 * np.pi * 440 * np.arange(int(16_000 * seconds)) / 16_000).astype(np.float32)
    async with open_bench(OfflineConfig()) as bench:
        lane = await bench.manager.open("ada", SlotOptions())
        await lane.push(Block(tone[:16_122], AudioFormat(16_000)))
        again = await bench.manager.open("ada", SlotOptions(), await parked(lane))
        await again.resume()
        await again.push(Block(tone[16_122:], AudioFormat(16_000)))
        await again.drain()
        heard = np.concatenate([frame.heard for frame in bench.frames["ada"]])
        expected = np.sin(2 * np.pi * 440 * np.arange(int(24_000 * seconds)) / 24_000)
        assert len(heard) == len(expected)
        seam = 16_122 * 3 // 2
        away = np.abs(np.arange(len(heard)) - seam) > 2_000
        away[:2_000] = away[-2_000:] = False
        assert np.abs(heard - expected)[away].max() < 0.01
        assert np.abs(heard).max() < 1.5


async def test_counters_gaps_and_what_a_follower_missed_go_along(open_bench: OpenBench) -> None:
    class Slow(Keeper):
        def __init__(self) -> None:
            super().__init__()
            self.gate = threading.Event()
            self.entered = threading.Semaphore(0)

        def feed(self, step: Sequence[StepRecord]) -> Sequence[Event]:
            self.entered.release()
            self.gate.wait()
            return super().feed(step)

    slow = Slow()
    config = RealtimeConfig(buffer_frames=5, follower_queue_steps=1)
    async with open_bench(config, followers={"slow": slow}) as bench:
        lane = await bench.manager.open("ada", SlotOptions())
        bad = samples(1)
        bad[:7] = np.nan
        await lane.push(Block(bad, AudioFormat()))
        await asyncio.to_thread(slow.entered.acquire)
        await lane.push(noise(4))
        await lane.drain()
        await lane.pause()
        await lane.push(noise(8))
        slow.gate.set()
        state = await parked(lane)
        again = await bench.manager.open("ada", SlotOptions(), state)
        await again.resume()
        await again.drain()
        measures = again.measures()
        assert (measures.dropped_frames, measures.nan_samples, measures.frames) == (3, 7, 10)
        assert [(event.frame, event.frames) for event in bench.reported if isinstance(event, Gap)] == [(5, 3)]
        await bench.manager.call("slow", lambda: None)
        first = next(record for record in slow.records if record.missed_before)
        assert first.frame >= 5
        assert first.missed_before + len([r for r in slow.records if r.frame < first.frame]) == first.frame
        assert not [event for event in bench.reported if isinstance(event, Fault)]


@pytest.mark.parametrize(("park_idle", "first"), [("never", None), ("paused", "still"), ("silent", "silent")])
async def test_who_is_to_be_parked_first(open_bench: OpenBench, park_idle: str, first: str | None) -> None:
    clock = ManualClock()
    config = RealtimeConfig(park_idle=park_idle, park_after_s=30)  # type: ignore[arg-type]
    async with open_bench(config, processor=ScriptedProcessor(slots=4), clock=clock) as bench:
        lanes = {name: await bench.manager.open(name, SlotOptions()) for name in ("silent", "talking", "still")}
        assert bench.manager.admit().park_first is None
        lanes["new"] = await bench.manager.open("new", SlotOptions())
        await lanes["still"].pause()
        clock.advance(29)
        assert bench.manager.admit().park_first is None
        await lanes["silent"].push(noise(1, peak=0.0001))
        for name in ("talking", "new"):
            await lanes[name].push(noise(1))
        clock.advance(1.1)
        for name in ("silent", "talking", "new"):
            await lanes[name].drain()
        admission = bench.manager.admit()
        assert not admission.ok
        assert admission.park_first == first
        if park_idle == "silent":
            await parked(lanes["silent"])
            assert bench.manager.admit().ok
            await bench.manager.open("next", SlotOptions())
            assert bench.manager.admit().park_first == "still"


FRAMES = st.lists(st.integers(0, 2**32 - 1), max_size=3)


@given(
    queue=FRAMES,
    rest=st.integers(0, 1_919),
    said=st.dictionaries(st.integers(1, 9), st.text(max_size=5)),
    format=st.none() | st.builds(AudioFormat, channels=st.integers(1, 2), sample_type=st.just("int16")),
    quiet=st.integers(0, 1_000),
    background=st.floats(-120, 0, width=32),
)
def test_the_lanes_part_comes_back_as_it_was(
    queue: list[int], rest: int, said: dict[int, str], format: AudioFormat | None, quiet: int, background: float
) -> None:
    state = LaneState(
        queue=[samples(1, seed) for seed in queue],
        rest=samples(1, 3)[:rest],
        format=format,
        caller=(True, quiet, background),
        moshi=(False, 0, -120.0),
        said=said,
        missed={"inner-monologue": 3},
        prompt_left=2,
        gap=1,
        dropped=5,
        filled=6,
        late=7,
        nan_samples=8,
    )
    back = LaneState.from_bytes(state.to_bytes(), 1_920)
    assert [frame.tobytes() for frame in back.queue] == [frame.tobytes() for frame in state.queue]
    assert back.rest.tobytes() == state.rest.tobytes()
    plain = ("format", "said", "missed", "prompt_left", "gap", "dropped", "filled", "late", "nan_samples")
    assert all(getattr(back, name) == getattr(state, name) for name in plain)
    assert (tuple(back.caller), tuple(back.moshi)) == (state.caller, state.moshi)


async def test_parking_is_not_held_up_by_a_lost_processor(
    open_bench: OpenBench, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the processor goes while the state is saved, the conversation is broken and not parked."""
    from coda_core.errors import ConversationBroken, ProcessorLost

    caplog.set_level(logging.CRITICAL)
    async with open_bench(OfflineConfig()) as bench:
        ada, bob = await bench.manager.open("ada", SlotOptions()), await bench.manager.open("bob", SlotOptions())

        def lose(batch: object) -> None:
            raise ProcessorLost("gone")

        async def save(state: ParkedState) -> None:
            bench.processor.on_step = lose
            await bob.push(noise(1))
            with pytest.raises(ConversationBroken):
                await bob.drain()

        with pytest.raises(ConversationBroken, match="gone"):
            await ada.park(save)


async def test_a_checkpoint_goes_on_elsewhere_as_it_does_here(open_bench: OpenBench, tmp_path: Path) -> None:
    here, there = Keeper(), Keeper()
    async with open_bench(OfflineConfig(), processor=ScriptedProcessor(2), followers={"k": here}) as bench:
        lane = await bench.manager.open("ada", OPTIONS)
        neighbour = await bench.manager.open("neighbour", SlotOptions())
        await lane.push(noise(5))
        await lane.drain()
        lane.command(Say(id=1, text="hello world", deadline_frames=0))
        state = from_chunks(to_chunks(await lane.checkpoint()))
        # It keeps its slot, and so does everybody else.
        for each in (lane, neighbour):
            await each.push(noise(6, 1))
            await each.drain()
        told = [event for event in bench.reported if isinstance(event, Injection)]
    assert (state.frame, state.options) == (5, OPTIONS)
    async with open_bench(OfflineConfig(), followers={"k": there}) as other:
        lane = await other.manager.open("ada", OPTIONS, state)
        await lane.resume()
        await lane.push(noise(6, 1))
        await lane.drain()
        assert [event for event in other.reported if isinstance(event, Injection)] == told
    assert here.held["ada"] == there.held["ada"] if "ada" in here.held else True
    first = [(record.frame, record.token, record.injected) for record in here.records if record.conversation == "ada"]
    second = [(record.frame, record.token, record.injected) for record in there.records]
    assert first[5:] == second
    assert told


async def test_input_that_waits_is_part_of_a_checkpoint_only_while_it_stands_still(open_bench: OpenBench) -> None:
    async with open_bench(OfflineConfig(), processor=ScriptedProcessor(2)) as bench:
        lane = await bench.manager.open("ada", OPTIONS)
        await lane.push(Block(samples(1)[:100], AudioFormat()))
        moving = LaneState.from_bytes((await lane.checkpoint()).lane, FRAME_SAMPLES)
        assert (len(moving.queue), len(moving.rest)) == (0, 0)
        await lane.pause()
        await lane.push(noise(2))
        still = LaneState.from_bytes((await lane.checkpoint()).lane, FRAME_SAMPLES)
        assert (len(still.queue), len(still.rest)) == (2, 100)
        await lane.resume()
        await lane.drain()


async def test_what_is_recorded_is_rounded_before_the_model_hears_it(open_bench: OpenBench) -> None:
    async with open_bench(OfflineConfig(), processor=ScriptedProcessor(2)) as bench:
        recorded = await bench.manager.open("recorded", SlotOptions(record=True))
        plain = await bench.manager.open("plain", SlotOptions())
        for lane in (recorded, plain):
            await lane.push(noise(3, peak=1.2))
            await lane.drain()
    heard = {name: np.concatenate([frame.heard for frame in frames]) for name, frames in bench.frames.items()}
    said = {name: np.concatenate([frame.pcm for frame in frames]) for name, frames in bench.frames.items()}
    np.testing.assert_array_equal(heard["plain"], samples(3, peak=1.2))
    np.testing.assert_array_equal(heard["recorded"], rounded(samples(3, peak=1.2)))
    np.testing.assert_array_equal(said["recorded"], -heard["recorded"])
