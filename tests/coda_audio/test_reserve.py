from __future__ import annotations

import pytest

from coda_audio.reserve import Reserve


def feed(reserve: Reserve, margins: list[float], *, quiet: bool = True) -> list[float]:
    """Take margins as they would be with nothing corrected; return the corrections that were made."""
    corrected = 0.0
    made = []
    for margin in margins:
        correction = reserve.arrived(margin + corrected, quiet=quiet)
        corrected += correction
        if correction:
            made.append(correction)
    return made


def test_steady_frames_are_left_alone() -> None:
    assert feed(Reserve(0.3), [0.045, 0.035] * 1_000) == []


def test_what_is_never_needed_is_given_up_slowly_and_where_it_is_quiet() -> None:
    reserve = Reserve(0.3)
    loud = Reserve(0.3)
    margins = [0.120] * 400
    made = feed(reserve, margins)
    assert made
    assert all(-0.010 <= correction < 0 for correction in made)
    assert reserve.goal_s <= 0.120 + sum(made) <= reserve.goal_s + 0.020
    assert feed(loud, margins, quiet=False) == []


def test_a_shrinking_reserve_is_filled_up_before_there_is_a_hole() -> None:
    """A loudspeaker that runs 100 ppm faster than the microphone takes 8 us more from every frame."""
    reserve = Reserve(0.3)
    corrected = 0.0
    least = 1.0
    for frame in range(30_000):
        margin = 0.060 - frame * 8e-6 + corrected
        least = min(least, margin)
        corrected += reserve.arrived(margin, quiet=True)
    assert least > 0.010
    assert 0 < corrected <= 0.3


def test_growing_lag_of_a_slow_loudspeaker_is_bounded() -> None:
    reserve = Reserve(0.3)
    corrected = 0.0
    most = 0.0
    for frame in range(30_000):
        margin = 0.060 + frame * 8e-6 + corrected
        most = max(most, margin)
        corrected += reserve.arrived(margin, quiet=True)
    assert most < 0.090


def test_a_hole_raises_the_goal_up_to_a_bound_and_time_lowers_it_below_the_first() -> None:
    reserve = Reserve(0.3)
    first = reserve.goal_s
    reserve.hole()
    assert reserve.goal_s > first
    for _ in range(100):
        reserve.hole()
    assert reserve.goal_s == pytest.approx(0.15)
    feed(reserve, [0.2] * 750 * 40)
    assert reserve.goal_s == pytest.approx(first / 2)


def test_begins_with_room_for_frames_as_uneven_as_they_were() -> None:
    reserve = Reserve(0.5)
    calm = Reserve(0.5)
    feed(reserve, [0.05, 0.15] * 50, quiet=False)
    feed(calm, [0.05] * 100, quiet=False)
    reserve.restart()
    calm.restart()
    assert reserve.prefill_s == pytest.approx(reserve.goal_s + 0.1)
    assert calm.prefill_s == pytest.approx(calm.goal_s + 0.02)
    assert reserve.margin_s == 0


def test_never_asks_for_more_than_may_wait() -> None:
    reserve = Reserve(0.04)
    for _ in range(10):
        reserve.hole()
    assert reserve.prefill_s <= 0.04


def test_begins_with_room_for_a_device_that_takes_much_at_once() -> None:
    reserve = Reserve(0.5)
    reserve.taken_at_once(0.01)
    assert reserve.prefill_s == Reserve(0.5).prefill_s
    reserve.taken_at_once(0.1)
    assert reserve.prefill_s == pytest.approx(reserve.goal_s + 0.1)
