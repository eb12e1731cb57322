from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from coda_core.audio import AudioFormat, Block
from coda_core.errors import AudioError
from coda_streaming.framer import Framer


def cut(framer: Framer, pcm: NDArray[np.float32], format: AudioFormat, sizes: list[int]) -> NDArray[np.float32]:
    """Push `pcm` in blocks of the given sizes, in turn, and flush; return all frames joined."""
    frames: list[NDArray[np.float32]] = []
    position = 0
    for size in itertools.cycle(sizes):
        if position >= len(pcm):
            break
        frames.extend(framer.push(Block(pcm[position : position + size], format)))
        position += size
    frames.extend(framer.flush())
    return np.concatenate(frames) if frames else np.zeros(0, np.float32)


def noise(samples: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


@given(
    sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=6),
    rate=st.sampled_from([8_000, 16_000, 24_000, 44_100, 48_000, 96_000]),
    samples=st.integers(1, 30_000),
)
def test_how_audio_is_cut_into_blocks_changes_nothing(sizes: list[int], rate: int, samples: int) -> None:
    pcm, format = noise(samples), AudioFormat(rate)
    at_once = cut(Framer(24_000, 1_920), pcm, format, [samples])
    np.testing.assert_array_equal(cut(Framer(24_000, 1_920), pcm, format, sizes), at_once)
    assert len(at_once) % 1_920 == 0
    assert -1 < len(at_once) - samples * 24_000 / rate < 1_921


def test_frames_at_the_models_own_rate_are_the_samples_themselves() -> None:
    pcm = noise(5_000)
    joined = cut(Framer(24_000, 1_920), pcm, AudioFormat(), [777])
    np.testing.assert_array_equal(joined[:5_000], pcm)
    assert not joined[5_000:].any()


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000, 96_000])
def test_resampling_keeps_the_time_of_a_click(rate: int) -> None:
    pcm = np.zeros(rate * 2, np.float32)
    pcm[rate] = 1.0
    joined = cut(Framer(24_000, 1_920), pcm, AudioFormat(rate), [1_234])
    assert abs(int(np.argmax(np.abs(joined))) - 24_000) <= 1


def test_channels_are_averaged() -> None:
    left, right = noise(1_920, 1), noise(1_920, 2)
    six = np.stack([left, right, left, right, left, right], axis=1)
    (frame,) = Framer(24_000, 1_920).push(Block(six, AudioFormat(channels=6)))
    np.testing.assert_allclose(frame, (left + right) / 2, atol=1e-7)


def test_int16_bytes_and_float_arrays_are_the_same_audio() -> None:
    whole = (noise(1_920) * 32768).astype(np.int16)
    (from_bytes,) = Framer(24_000, 1_920).push(Block(whole.tobytes(), AudioFormat(sample_type="int16")))
    (from_floats,) = Framer(24_000, 1_920).push(Block(whole.astype(np.float32) / np.float32(32768), AudioFormat()))
    np.testing.assert_array_equal(from_bytes, from_floats)


def test_samples_that_are_not_finite_become_silence_and_are_counted() -> None:
    pcm = noise(1_920)
    pcm[[3, 7]] = np.nan, np.inf
    framer = Framer(24_000, 1_920)
    (frame,) = framer.push(Block(pcm, AudioFormat()))
    assert framer.nan_samples == 2
    assert frame[3] == frame[7] == 0
    assert frame[4] == pcm[4]


def test_a_change_of_format_loses_no_sample() -> None:
    framer = Framer(24_000, 1_920)
    frames = [*framer.push(Block(noise(4_800), AudioFormat(48_000))), *framer.push(Block(noise(1_200), AudioFormat()))]
    frames.extend(framer.flush())
    assert len(frames) == 2  # 2,400 resampled and 1,200 as they are


def test_an_empty_block_is_nothing() -> None:
    framer = Framer(24_000, 1_920)
    assert not list(framer.push(Block(np.zeros(0, np.float32), AudioFormat(44_100))))
    assert not list(framer.flush())


@pytest.mark.parametrize(
    ("pcm", "format", "words"),
    [
        (b"123", AudioFormat(sample_type="int16"), "whole number of 1-channel int16 samples"),
        (np.zeros(5, np.float32), AudioFormat(channels=2), r"expected \[samples, 2\]"),
        (np.zeros((5, 3), np.float32), AudioFormat(channels=2), r"shape \[5, 3\]"),
        (np.zeros(5, np.int64), AudioFormat(), "dtype int64"),
    ],
)
def test_a_block_that_is_not_what_it_says_is_refused(pcm: bytes, format: AudioFormat, words: str) -> None:
    with pytest.raises(AudioError, match=words):
        Framer(24_000, 1_920).push(Block(pcm, format))
