from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from coda_streaming.activity import SILENCE_DBFS, SpeechActivity, levels_dbfs


def detector(slots: int = 1) -> SpeechActivity:
    return SpeechActivity(slots, threshold_dbfs=-45.0, margin_db=9.0, hangover=4)


def run(levels: list[float]) -> list[bool]:
    activity = detector()
    slot = np.zeros(1, np.int64)
    return [bool(activity.update(slot, np.array([level], np.float32))[0]) for level in levels]


def test_levels_are_rms_against_a_full_scale_square_wave() -> None:
    square = np.where(np.arange(1_920) % 2, 1.0, -1.0)
    sine = np.sin(np.arange(1_920) * 2 * np.pi / 48)
    rows = np.stack([square, square * 0.1, sine, np.zeros(1_920)]).astype(np.float32)
    assert levels_dbfs(rows) == pytest.approx([0.0, -20.0, -3.01, SILENCE_DBFS], abs=0.01)


def test_speech_begins_at_once_and_ends_after_the_hangover() -> None:
    assert run([-60, -20, -20, -60, -60, -60, -60, -60, -60]) == [False, True, True, *[True] * 4, False, False]


def test_a_short_dip_does_not_end_speech() -> None:
    assert all(run([-20, -60, -60, -20, -60, -60, -60, -20]))


def test_a_steady_noise_stops_being_speech() -> None:
    speaking = run([-38.0] * 1_500)
    assert speaking[0]
    assert not speaking[-1]


def test_silence_is_never_speech() -> None:
    assert not any(run([SILENCE_DBFS] * 50))


def test_a_slot_is_judged_by_its_own_history_alone() -> None:
    generator = np.random.default_rng(5)
    levels = generator.uniform(-70, -10, (200, 3)).astype(np.float32)
    together, takes_part = detector(3), generator.random((200, 3)) < 0.7
    answers: list[list[bool]] = [[], [], []]
    for row, mask in zip(levels, takes_part, strict=True):
        slots: NDArray[np.int64] = np.flatnonzero(mask)
        for slot, speaking in zip(slots, together.update(slots, row[slots]), strict=True):
            answers[slot].append(bool(speaking))
    for slot in range(3):
        assert answers[slot] == run(levels[takes_part[:, slot], slot].tolist())


def test_reset_forgets() -> None:
    activity, slot = detector(), np.zeros(1, np.int64)
    for _ in range(300):
        activity.update(slot, np.array([-20.0], np.float32))
    activity.reset(0)
    assert activity.update(slot, np.array([-30.0], np.float32))[0]
