"""How many slots a processor is left with. The time of a step is a function of its batch, on a clock moved by hand."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coda_core.errors import Full
from coda_core.interfaces import ProcessorInfo, SlotOptions, StepInput, StepOutput
from coda_core.testing import ManualClock, ScriptedProcessor
from coda_streaming.capacity import Capacity, measure_capacity
from coda_streaming.config import OfflineConfig, RealtimeConfig
from tests.coda_streaming.conftest import OpenBench, noise, samples

BUDGET_S = 0.072

StepTime = Callable[[int], float]


class Batched(ScriptedProcessor):
    """A model whose step takes as long as its batch is large, however few take part."""

    def __init__(self, slots: int, clock: ManualClock, step_s: StepTime) -> None:
        super().__init__(slots=slots)
        self.sizes: list[int] = []
        """Every size that it was given."""
        self.on_step = lambda batch: clock.advance(step_s(self.info.slots))

    def resize(self, slots: int) -> None:
        super().resize(slots)
        self.sizes.append(slots)


class Fixed:
    """The same without `resize`: a step takes as long as slots take part."""

    def __init__(self, slots: int, clock: ManualClock, step_s: StepTime) -> None:
        self.inner = ScriptedProcessor(slots=slots)
        self.inner.on_step = lambda batch: clock.advance(step_s(len(batch.slots)))
        self.info: ProcessorInfo = self.inner.info

    def open(self, slot: int, options: SlotOptions) -> int | None:
        return self.inner.open(slot, options)

    def step(self, batch: StepInput) -> StepOutput:
        return self.inner.step(batch)

    def close(self, slot: int) -> None:
        self.inner.close(slot)


def tried(slots: int, step_s: StepTime) -> tuple[Capacity, Batched]:
    clock = ManualClock()
    processor = Batched(slots, clock, step_s)
    found = measure_capacity(processor, clock, BUDGET_S)
    assert processor.opened == {}
    assert processor.info.slots == found.slots
    assert found.step_s == pytest.approx(step_s(found.slots))
    return found, processor


def test_a_batch_that_fits_is_left_alone() -> None:
    found, processor = tried(64, lambda slots: 0.001 * slots)
    assert (found.slots, found.asked, found.fits) == (64, 64, True)
    assert processor.sizes == []


def test_a_batch_that_is_too_slow_is_made_smaller() -> None:
    found, processor = tried(64, lambda slots: 0.0205 + 0.001 * slots)
    assert (found.asked, found.slots, found.fits) == (64, 51, True)
    assert found.asked_step_s == pytest.approx(0.0845)
    # 54 by proportion; then 51, which the line through both says, and it is confirmed.
    assert processor.sizes == [54, 51]


def test_the_largest_size_that_fits_is_what_is_left_at_the_end() -> None:
    """Also where a larger one was the last that was tried."""
    found, processor = tried(10, lambda slots: {8: 0.070, 9: 0.0721, 10: 0.09}.get(slots, 0.01 * slots))
    assert found.slots == 8
    assert processor.info.slots == 8


@settings(max_examples=60)
@given(
    asked=st.integers(1, 64),
    fixed_s=st.floats(0, 0.06),
    each_s=st.floats(1e-5, 0.01),
)
def test_on_a_line_the_largest_is_found_in_few_tries(asked: int, fixed_s: float, each_s: float) -> None:
    def step_s(slots: int) -> float:
        return fixed_s + each_s * slots

    found, processor = tried(asked, step_s)
    fitting = [slots for slots in range(1, asked + 1) if step_s(slots) <= BUDGET_S]
    assert found.slots == pytest.approx(max(fitting, default=1), abs=1)
    assert len(processor.sizes) <= 6  # five tries, and back to the best of them
    assert found.fits == (step_s(found.slots) <= BUDGET_S)


@settings(max_examples=60)
@given(data=st.data(), asked=st.integers(1, 64))
def test_whatever_the_times_what_is_offered_fits_or_is_one_slot(data: st.DataObject, asked: int) -> None:
    """Not even monotone: a machine that is busy, kernels that like some sizes better."""
    times: dict[int, float] = {}

    def step_s(slots: int) -> float:
        return times.setdefault(slots, data.draw(st.floats(0.001, 0.5)))

    found, processor = tried(asked, step_s)
    assert len(processor.sizes) <= 6
    if found.fits:
        assert times[found.slots] <= BUDGET_S
    else:
        assert found.slots == 1
        assert times[1] > BUDGET_S


def test_times_that_go_in_stairs_lose_no_more_than_a_stair() -> None:
    def step_s(slots: int) -> float:
        return 0.02 + 0.009 * -(-slots // 8)

    found, _ = tried(64, step_s)
    assert 32 <= found.slots <= 40
    assert found.fits


def test_one_slow_moment_does_not_leave_one_slot() -> None:
    """The size that the line says misses by chance: half of it is tried next, and then what lies between."""
    found, processor = tried(64, lambda slots: 0.02 + 0.001 * slots + (0.01 if slots in (51, 52) else 0.0))
    assert processor.sizes[:3] == [54, 52, 26]
    assert found.slots > 40


def test_a_machine_that_is_too_slow_for_one() -> None:
    found, processor = tried(16, lambda slots: 0.4 + 0.01 * slots)
    assert (found.slots, found.fits) == (1, False)
    assert processor.sizes[-1] == 1
    assert tried(1, lambda slots: 0.4)[1].sizes == []


def test_a_slow_model_is_stepped_twice_a_try() -> None:
    _, processor = tried(2, lambda slots: 3.0)
    assert [len(batch) for batch in processor.batches] == [2, 2, 1, 1]


@pytest.mark.parametrize(("asked", "each_s", "slots"), [(16, 0.01, 7), (8, 0.001, 8), (5, 0.1, 1), (100, 0.0031, 23)])
def test_of_a_processor_of_fixed_size_fewer_slots_are_used(asked: int, each_s: float, slots: int) -> None:
    clock = ManualClock()
    processor = Fixed(asked, clock, lambda taking_part: each_s * taking_part)
    found = measure_capacity(processor, clock, BUDGET_S)
    assert found.slots == slots
    assert found.fits == (each_s <= BUDGET_S)
    assert processor.info.slots == asked
    assert processor.inner.opened == {}


async def test_everything_follows_the_smaller_batch(open_bench: OpenBench, caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    processor = Batched(16, clock, lambda slots: 0.030 + 0.010 * slots)
    async with open_bench(RealtimeConfig(headroom=0.1), processor=processor, clock=clock) as bench:
        assert bench.manager.info.slots == processor.info.slots == 4
        assert bench.manager.admit().capacity == bench.manager.measures().capacity == 4
        (warning,) = (record for record in caplog.records if record.levelno == logging.WARNING)
        assert warning.message == (
            "4 of 16 slots are offered: a step takes 70 ms with 4 and 190 ms with 16, and 72 ms of a frame's 80 ms are "
            "there for it; the rest is 'headroom'"
        )
        processor.on_step = lambda batch: None
        lanes = [await bench.manager.open(f"caller {number}", SlotOptions()) for number in range(4)]
        with pytest.raises(Full, match="all 4 slots are taken") as refusal:
            await bench.manager.open("one more", SlotOptions())
        assert refusal.value.capacity == 4
        for lane in lanes:
            await lane.push(noise(3))
        for lane in lanes:
            await lane.drain()
            heard = np.concatenate([frame.pcm for frame in bench.frames[lane.conversation]])
            np.testing.assert_array_equal(heard, -samples(3))


async def test_offline_a_batch_stays_as_large_as_it_is(open_bench: OpenBench) -> None:
    clock = ManualClock()
    processor = Batched(16, clock, lambda slots: 1.0 * slots)
    async with open_bench(OfflineConfig(), processor=processor, clock=clock) as bench:
        assert bench.manager.info.slots == bench.manager.admit().capacity == 16
    assert processor.sizes == []
