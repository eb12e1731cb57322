"""Noise and music are as loud as asked, and the same bits make the same."""

from __future__ import annotations

import numpy as np
import pytest

from coda_demo_model.background import COLOURS, music, noise
from coda_demo_model.room import background, through_room


@pytest.mark.parametrize("colour", COLOURS)
def test_noise_has_its_loudness(colour: str) -> None:
    sound = noise(24_000, colour, 0.03, np.random.default_rng(0))
    assert abs(np.sqrt(np.mean(sound.astype(float) ** 2)) / 0.03 - 1) < 1e-3


def test_silence_is_silent() -> None:
    assert not noise(24_000, "white", 0.0, np.random.default_rng(0)).any()


def test_music_has_its_loudness_and_repeats() -> None:
    first, second = (music(48_000, 0.1, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, second)
    assert abs(np.sqrt(np.mean(first.astype(float) ** 2)) / 0.1 - 1) < 1e-3


def test_a_room_keeps_the_length_and_the_order_of_loudness() -> None:
    voice = noise(24_000, "pink", 0.1, np.random.default_rng(1))
    for seed in range(12):
        heard = through_room(voice, np.random.default_rng(seed))
        assert heard.shape == voice.shape
        assert 0.02 < np.sqrt(np.mean(heard**2)) < 0.3


def test_a_background_is_no_louder_than_asked() -> None:
    for seed in range(8):
        sound = background(24_000, np.random.default_rng(seed), loudest=0.01)
        assert np.sqrt(np.mean(sound.astype(float) ** 2)) <= 0.0101
