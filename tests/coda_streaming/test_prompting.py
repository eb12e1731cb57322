from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coda_core.errors import ModelError
from coda_core.interfaces import SlotOptions, StepInput, StepOutput
from coda_core.testing import ManualClock, ScriptedProcessor
from coda_streaming.config import OfflineConfig, RealtimeConfig
from coda_streaming.prompting import narrow, widen
from tests.coda_streaming.conftest import Bench, Keeper, OpenBench, noise, samples

PROMPTED = SlotOptions(prompt="You are a librarian who whispers")
WORDS = 6


async def has_begun(bench: Bench) -> None:
    """Wait until an opening that was just started has its slot."""
    await asyncio.sleep(0)
    await bench.manager.worker.call(lambda: None)


async def test_opening_waits_for_the_prompt_and_its_steps_are_not_the_conversations(open_bench: OpenBench) -> None:
    keeper = Keeper()
    async with open_bench(OfflineConfig(), followers={"k": keeper}) as bench:
        lane = await bench.manager.open("ada", PROMPTED)
        assert bench.processor.batches == [(0,)] * WORDS
        assert bench.frames == {}
        await lane.push(noise(3))
        await lane.drain()
        assert [frame.frame for frame in bench.frames["ada"]] == [0, 1, 2]
        np.testing.assert_array_equal(np.concatenate([frame.pcm for frame in bench.frames["ada"]]), -samples(3))
        assert lane.measures().frames == bench.manager.measures().frames == 3
    assert [(record.frame, record.injected) for record in keeper.records] == [(0, False), (1, False), (2, False)]


async def test_alone_a_prompt_does_not_wait_for_the_clock(open_bench: OpenBench) -> None:
    async with open_bench(RealtimeConfig(), clock=ManualClock()) as bench:
        bench.processor.batches.clear()
        await bench.manager.open("ada", PROMPTED)
        assert bench.processor.batches == [(0,)] * WORDS


async def test_a_prompt_rides_along_and_holds_nobody_up(open_bench: OpenBench) -> None:
    """Steps that take most of a frame leave no room for a step of prompts alone."""
    clock = ManualClock()
    async with open_bench(RealtimeConfig(), clock=clock) as bench:
        live = await bench.manager.open("live", SlotOptions())
        bench.processor.on_step = lambda batch: clock.advance(0.07)
        await live.push(noise(1))
        await live.drain()
        bench.processor.batches.clear()
        opening = asyncio.create_task(bench.manager.open("late", PROMPTED))
        await has_begun(bench)
        for seed in range(WORDS):
            assert not opening.done()
            clock.advance(0.01)
            await live.push(noise(1, seed))
            await live.drain()
        await asyncio.wait_for(opening, 10)
        assert bench.processor.batches == [(0, 1)] * WORDS
        assert len(bench.frames["live"]) == 1 + WORDS
        assert "late" not in bench.frames


async def test_between_short_steps_a_prompt_goes_on_by_itself(open_bench: OpenBench) -> None:
    clock = ManualClock()
    async with open_bench(RealtimeConfig(), clock=clock) as bench:
        live = await bench.manager.open("live", SlotOptions())
        bench.processor.on_step = lambda batch: clock.advance(0.004)
        await live.push(noise(1))
        await live.drain()
        bench.processor.batches.clear()
        await asyncio.wait_for(bench.manager.open("late", PROMPTED), 10)
        assert bench.processor.batches == [(1,)] * WORDS


async def test_where_others_send_nothing_a_prompt_still_ends(open_bench: OpenBench) -> None:
    clock = ManualClock()
    async with open_bench(RealtimeConfig(), clock=clock) as bench:
        live = await bench.manager.open("live", SlotOptions())
        bench.processor.on_step = lambda batch: clock.advance(0.07)
        await live.push(noise(1))
        await live.drain()
        opening = asyncio.create_task(bench.manager.open("late", PROMPTED))
        while not opening.done():
            clock.advance(0.01)
            await bench.manager.worker.call(lambda: None)
        await (await opening).close()


async def test_a_prompt_that_fails_fails_the_opening_and_leaves_the_slot_free(open_bench: OpenBench) -> None:
    async with open_bench(OfflineConfig(on_fault="restart")) as bench:

        def fail(batch: StepInput) -> None:
            if bench.processor.batches:
                raise RuntimeError("out of luck")

        bench.processor.on_step = fail
        with pytest.raises(ModelError, match="before its prompt was taken in: a step of the model failed: out of luck"):
            await bench.manager.open("ada", PROMPTED)
        bench.processor.on_step = lambda batch: None
        assert bench.processor.opened == {}
        assert bench.broken == []
        bench.processor.poisoned.add(0)
        with pytest.raises(ModelError, match="no longer finite"):
            await bench.manager.open("ada", PROMPTED)
        assert len([await bench.manager.open(f"{index}", PROMPTED) for index in range(4)]) == 4


async def test_an_opening_given_up_during_its_prompt_leaves_the_slot_free(open_bench: OpenBench) -> None:
    clock = ManualClock()
    async with open_bench(RealtimeConfig(), processor=ScriptedProcessor(slots=2), clock=clock) as bench:
        live = await bench.manager.open("live", SlotOptions())
        bench.processor.on_step = lambda batch: clock.advance(0.07)
        await live.push(noise(1))
        await live.drain()
        opening = asyncio.create_task(bench.manager.open("late", PROMPTED))
        await has_begun(bench)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert list(bench.processor.opened) == [0]
        await live.push(noise(2))
        await live.drain()
        assert bench.processor.batches[-1] == (0,)
        await bench.manager.open("other", SlotOptions())


async def test_prompted_and_live_conversations_do_not_change_each_other(open_bench: OpenBench) -> None:
    async with open_bench(OfflineConfig()) as bench:
        lanes = [await bench.manager.open("a", SlotOptions())]
        pushes = [asyncio.create_task(lanes[0].push(noise(40, 1)))]
        for name in ("b", "c"):
            lanes.append(await bench.manager.open(name, PROMPTED))
            pushes.append(asyncio.create_task(lanes[-1].push(noise(30, len(pushes) + 1))))
        await asyncio.gather(*pushes)
        for lane in lanes:
            await lane.drain()
        for seed, (name, count) in enumerate((("a", 40), ("b", 30), ("c", 30)), 1):
            spoken = np.concatenate([frame.pcm for frame in bench.frames[name]])
            np.testing.assert_array_equal(spoken, -samples(count, seed))
            assert [frame.frame for frame in bench.frames[name]] == list(range(count))


@given(st.sets(st.integers(0, 40), max_size=12), st.sets(st.integers(0, 40), min_size=1, max_size=12))
def test_a_batch_with_riders_is_sorted_and_gives_everybody_their_own_row(live: set[int], riders: set[int]) -> None:
    own_slots = np.array(sorted(live - riders), np.int64)
    pcm = np.repeat(own_slots.astype(np.float32)[:, None] + 1, 8, axis=1)
    batch, own, added = widen(StepInput(own_slots, pcm, own_slots % 2 == 0), sorted(riders, key=lambda slot: -slot))
    assert batch.slots.tolist() == sorted(live | riders)
    np.testing.assert_array_equal(batch.pcm[own], pcm)
    np.testing.assert_array_equal(batch.caller_speaking[own], own_slots % 2 == 0)
    assert not batch.pcm[added].any()
    assert batch.slots[added].tolist() == sorted(riders, key=lambda slot: -slot)
    count = len(batch.slots)
    output = StepOutput(
        pcm=batch.pcm,
        valid=np.ones(count, np.bool_),
        token=batch.slots,
        probability=np.zeros(count, np.float32),
        failed=np.zeros(count, np.bool_),
        stage_s={},
        injected=batch.slots % 3 == 0,
    )
    narrowed = narrow(output, own)
    assert narrowed.token.tolist() == own_slots.tolist()
    assert narrowed.injected is not None
    assert narrowed.injected.tolist() == (own_slots % 3 == 0).tolist()
