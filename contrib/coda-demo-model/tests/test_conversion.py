"""Another person says the same at the same moments."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyworld
import soxr

from coda_demo_model.conversion import as_another_person
from coda_demo_model.other_engines import speak_by_pico
from coda_demo_model.recogniser import pick_sentence
from coda_demo_model.voice import SAMPLE_RATE_HZ

_TEXT = "what can you do for me"


def _spoken() -> npt.NDArray[np.float32]:
    sound, rate = speak_by_pico(_TEXT, "en-US", speed=1.0, pitch=1.0)
    return soxr.resample(sound, rate, SAMPLE_RATE_HZ).astype(np.float32)


def _mean_pitch_hz(audio: npt.NDArray[np.float32]) -> float:
    pitch, _ = pyworld.dio(audio.astype(np.float64), SAMPLE_RATE_HZ, f0_floor=60.0, f0_ceil=500.0)
    return float(np.median(pitch[pitch > 0]))


def _loudness(audio: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    return np.log(0.01 + np.abs(audio[: len(audio) // 1920 * 1920]).reshape(-1, 1920).max(1))


def test_people_differ_in_pitch_and_none_says_it_later() -> None:
    spoken = _spoken()
    people = [as_another_person(spoken, SAMPLE_RATE_HZ, np.random.default_rng(seed)) for seed in range(6)]
    pitches = [_mean_pitch_hz(person) for person in people]
    assert max(pitches) > 1.5 * min(pitches)
    for person in people:
        assert len(person) == len(spoken)
        assert np.corrcoef(_loudness(person), _loudness(spoken))[0, 1] > 0.8


def test_most_of_them_are_understood() -> None:
    candidates = (_TEXT, "tell me about the plugins", "thank you for your help", "sing a song for me")
    people = [as_another_person(_spoken(), SAMPLE_RATE_HZ, np.random.default_rng(seed)) for seed in range(8)]
    assert sum(pick_sentence(person, candidates) == _TEXT for person in people) > 4


def test_silence_stays_silent() -> None:
    made = as_another_person(np.zeros(SAMPLE_RATE_HZ, np.float32), SAMPLE_RATE_HZ, np.random.default_rng(0))
    assert np.abs(made).max() < 1e-3
