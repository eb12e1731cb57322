from __future__ import annotations

from typing import cast

import numpy as np
import pytest

from coda_core.audio import AudioFrame
from coda_streaming.lane import StreamLane
from coda_streaming.measuring import Meter
from coda_streaming.pipeline import StepDone


class Lane:
    slot = 1


def step(start_s: float, took_s: float, *, failed: bool = False) -> StepDone:
    silence = np.zeros(1_920, np.float32)
    return StepDone(
        lanes=[cast("StreamLane", Lane())],
        frames=[] if failed else [AudioFrame("ada", 0, silence, silence)],
        events=[],
        broken=[],
        arrival_s=np.array([start_s - 0.01]),
        start_s=start_s,
        done_s=start_s + took_s,
        stage_s={} if failed else {"encode": took_s / 2, "decode": took_s / 2},
    )


def test_every_stage_is_measured_where_it_lies() -> None:
    meter = Meter(slots=2, frame_s=0.08)
    meter.add(step(10.0, 0.04), handed_over_s=10.045)
    stages = meter.stages()
    expected = {"queue": 0.01, "step": 0.04, "encode": 0.02, "decode": 0.02, "hand_over": 0.005, "end_to_end": 0.055}
    for name, seconds in expected.items():
        assert stages[name].mean == pytest.approx(seconds), name
    assert stages["lateness"].mean == pytest.approx(-0.025)
    assert meter.realtime_factor == pytest.approx(2.0)
    end_to_end, lateness, late = meter.lane(1)
    assert (end_to_end.count, lateness.count, late) == (1, 1, 0)
    assert meter.lane(0)[0].count == 0


def test_load_is_the_p95_of_recent_steps_once_there_are_enough() -> None:
    meter = Meter(slots=2, frame_s=0.08)
    assert meter.load(0) == 0
    for number in range(5):
        meter.add(step(number / 10, 0.8 if number == 0 else 0.04), handed_over_s=number / 10)
    assert meter.load(1) == pytest.approx(0.5)
    for number in range(40):
        meter.add(step(number / 10, 0.8 if number % 10 == 0 else 0.04), handed_over_s=number / 10)
    assert meter.load(4) == pytest.approx(10.0)
    meter.idle()
    assert meter.load(4) == 0


def test_a_slow_moment_is_forgotten_where_nobody_steps_any_more() -> None:
    meter = Meter(slots=2, frame_s=0.08)
    for number in range(30):
        meter.add(step(number, 0.8), handed_over_s=number)
    assert meter.load(29) == pytest.approx(10.0)
    assert meter.load(38.9) == pytest.approx(10.0)
    assert meter.load(39.1) == 0


def test_waiting_is_measured_for_each_conversation() -> None:
    meter = Meter(slots=2, frame_s=0.08)
    meter.add(step(10.0, 0.04), handed_over_s=10.045)
    assert (meter.lane_queue(0).count, meter.lane_queue(1).count) == (0, 1)
    assert meter.lane_queue(1).mean == pytest.approx(0.01)
    meter.fresh(1)
    assert meter.lane_queue(1).count == 0


def test_a_failed_step_says_nothing_of_the_load() -> None:
    meter = Meter(slots=2, frame_s=0.08)
    meter.add(step(0, 5.0, failed=True), handed_over_s=6)
    assert meter.load(6) == 0


def test_late_frames_are_counted() -> None:
    meter = Meter(slots=2, frame_s=0.08)
    meter.add(step(0, 0.04), handed_over_s=0.05)
    meter.add(step(1, 0.04), handed_over_s=1.2)
    assert (meter.frames, meter.late, meter.lane(1)[2]) == (2, 1, 1)
    meter.fresh(1)
    assert (meter.late, meter.lane(1)[2]) == (1, 0)


def test_no_frame_is_late_where_none_is_due() -> None:
    meter = Meter(slots=2, frame_s=0.08, realtime=False)
    meter.add(step(1, 0.04), handed_over_s=1.2)
    assert (meter.frames, meter.late, meter.lane(1)[2]) == (1, 0, 0)
    assert meter.stages()["lateness"].count == 1
