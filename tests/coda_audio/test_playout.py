from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from coda_audio.playout import Playout, PlayoutCounts
from coda_audio.reserve import Reserve

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 24_000
FRAME = 1_920
BLOCK = 240


class Desk:
    """A playout, and a loudspeaker that takes a block every ten milliseconds of a time that a test moves."""

    def __init__(self, *, device_rate_hz: int = RATE, most_s: float = 0.3) -> None:
        self.counts = PlayoutCounts()
        self.reserve = Reserve(most_s)
        self.playout = Playout(
            frame_rate_hz=RATE,
            device_rate_hz=device_rate_hz,
            reserve=self.reserve,
            most_s=most_s,
            counts=self.counts,
        )
        self.block = BLOCK * device_rate_hz // RATE
        self.heard: list[NDArray[np.float32]] = []

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.010)):
            block = np.full(self.block, np.nan, np.float32)
            self.playout.pull(block)
            self.heard.append(block)

    def all_heard(self) -> NDArray[np.float32]:
        return np.concatenate(self.heard)


def voice(frames: int, rate: int = RATE) -> NDArray[np.float32]:
    """A tone that is never quiet, and the same at any rate."""
    seconds = np.arange(frames * FRAME * rate // RATE) / rate
    return (0.5 * np.sin(2 * np.pi * 440 * seconds) * (0.7 + 0.3 * np.sin(2 * np.pi * 3 * seconds))).astype(np.float32)


def test_nothing_is_silence() -> None:
    desk = Desk()
    desk.pass_time(1.0)
    assert not desk.all_heard().any()
    assert desk.counts == PlayoutCounts()


def test_frames_come_out_whole_behind_their_reserve() -> None:
    desk = Desk()
    said = voice(50)
    for frame in said.reshape(-1, FRAME):
        desk.playout.write(frame)
        desk.pass_time(0.080)
    desk.playout.rest()
    desk.pass_time(0.5)
    heard = desk.all_heard()
    first = round(desk.reserve.prefill_s * RATE)
    assert not heard[:first].any()
    assert np.array_equal(heard[first : first + len(said)], said)
    assert np.abs(heard[first + len(said) + RATE // 100 :]).max() == 0
    assert desk.counts == PlayoutCounts()


@pytest.mark.parametrize("jitter_s", [0.010, 0.040, 0.060])
def test_frames_that_come_unevenly_come_out_without_a_hole(jitter_s: float) -> None:
    desk = Desk()
    said = voice(200)
    late = np.random.default_rng(1).uniform(0, jitter_s, 200)
    now = 0.0
    for index, frame in enumerate(said.reshape(-1, FRAME)):
        due = round(0.080 * index + late[index], 2)
        desk.pass_time(due - now)
        now = due
        desk.playout.write(frame)
    desk.pass_time(0.5)
    heard = desk.all_heard()
    start = int(np.flatnonzero(heard)[0]) - int(np.flatnonzero(said)[0])
    assert np.array_equal(heard[start : start + len(said)], said)
    assert desk.counts == PlayoutCounts()


def test_a_hole_is_counted_once_faded_and_makes_the_reserve_larger() -> None:
    desk = Desk()
    said = voice(20).reshape(-1, FRAME)
    for frame in said[:10]:
        desk.playout.write(frame)
        desk.pass_time(0.080)
    before = desk.reserve.goal_s
    desk.pass_time(0.500)
    assert desk.counts.underruns == 0, "an end is no hole until a frame follows"
    for frame in said[10:13]:
        desk.playout.write(frame)
    for frame in said[13:]:
        desk.pass_time(0.080)
        desk.playout.write(frame)
    desk.pass_time(0.3)
    assert desk.counts.underruns == 1
    assert desk.reserve.goal_s > before
    assert np.abs(np.diff(desk.all_heard())).max() < 0.08, "no click"


def test_a_pause_is_no_hole() -> None:
    desk = Desk()
    frames = voice(10).reshape(-1, FRAME)
    for frame in frames[:5]:
        desk.playout.write(frame)
        desk.pass_time(0.080)
    desk.playout.rest()
    desk.pass_time(2.0)
    for frame in frames[5:]:
        desk.playout.write(frame)
        desk.pass_time(0.080)
    assert desk.counts == PlayoutCounts()


def test_an_interruption_is_heard_at_once_and_the_next_frame_begins_anew() -> None:
    desk = Desk()
    frames = voice(8).reshape(-1, FRAME)
    for frame in frames[:3]:
        desk.playout.write(frame)
    assert desk.playout.waiting_s > 0.2
    desk.pass_time(0.120)
    desk.playout.clear()
    desk.heard.clear()
    desk.pass_time(0.100)
    assert not desk.all_heard()[BLOCK:].any()
    for frame in frames[3:]:
        desk.playout.write(frame)
        desk.pass_time(0.080)
    assert desk.counts == PlayoutCounts()
    assert desk.all_heard().any()


def test_lag_is_bounded_and_what_is_skipped_is_counted() -> None:
    desk = Desk(most_s=0.3)
    said = voice(40).reshape(-1, FRAME)
    desk.playout.write(said[0])
    desk.pass_time(0.080)
    for frame in said[1:30]:
        desk.playout.write(frame)
    assert desk.playout.waiting_s <= 0.3 + 0.080
    assert desk.counts.dropped_s > 1.5
    desk.pass_time(0.080)
    for frame in said[30:]:
        desk.playout.write(frame)
        desk.pass_time(0.080)
    heard = desk.all_heard()
    assert np.array_equal(heard[-5 * FRAME :][: 2 * FRAME], _found(heard, said.reshape(-1))[: 2 * FRAME])


def _found(heard: NDArray[np.float32], said: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what was said from where the last five frames' time of `heard` begins."""
    piece = heard[-5 * FRAME :][:FRAME]
    starts = [at for at in np.flatnonzero(said == piece[0]) if np.array_equal(said[at : at + FRAME], piece)]
    return said[starts[0] :]


def test_a_callback_that_is_never_called_costs_no_more_than_the_buffer() -> None:
    desk = Desk(most_s=0.3)
    for frame in voice(500).reshape(-1, FRAME):
        desk.playout.write(frame)
    assert desk.playout.waiting_s <= 0.4


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000, 96_000])
def test_any_rate_of_a_device(rate: int) -> None:
    desk = Desk(device_rate_hz=rate)
    desk.block = rate // 100
    for frame in voice(15).reshape(-1, FRAME):
        desk.playout.write(frame)
        desk.pass_time(0.080)
    assert 0 < desk.playout.delay_s < 0.15
    desk.playout.rest()
    desk.pass_time(0.3)
    middle = voice(15, rate)[rate // 2 : rate]
    # Where what was said lies in what was heard, to the sample: their correlation, by the convolution theorem.
    heard = desk.all_heard()
    size = 2 * len(heard)
    overlap = np.fft.irfft(np.fft.rfft(heard, size) * np.fft.rfft(middle, size).conj(), size)[: len(heard)]
    start = int(np.argmax(overlap))
    # It may lie between two samples: the error is that part of a sample's delay.
    error = heard[start : start + len(middle)] - middle
    assert 10 * math.log10(float(middle @ middle) / float(error @ error)) > 25
    assert desk.counts == PlayoutCounts()
    # What the resampler held is heard too: 15 frames behind where they began.
    assert np.abs(heard[round(start - rate / 2 + 15 * 0.08 * rate) - 40 :][:30]).max() > 0.01


def test_quiet_frames_are_stretched_without_a_seam() -> None:
    desk = Desk()
    hiss = np.random.default_rng(2).uniform(-1e-3, 1e-3, FRAME * 600).astype(np.float32)
    frames = hiss.reshape(-1, FRAME)
    for frame in frames[:2]:
        desk.playout.write(frame)
    for frame in frames[2:]:
        desk.pass_time(0.080)
        desk.playout.write(frame)
    assert desk.playout.waiting_s < 0.080 + desk.reserve.goal_s + 0.021, (
        "what two frames at once left behind is worn off"
    )
    assert desk.counts == PlayoutCounts()
    assert np.abs(desk.all_heard()).max() <= 2e-3
