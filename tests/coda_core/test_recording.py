"""Recordings: parts as bytes, and a whole conversation of them."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from coda_core.audio import AudioFormat, rounded, to_float32, to_int16
from coda_core.errors import StoreError
from coda_core.recording import ROWS, Part, part_name, read_recording
from coda_state.memory import MemoryStore

FRAME = 480


def part(first: int, frames: int, seed: int = 0) -> Part:
    draw = np.random.default_rng(seed)
    rows = np.zeros(frames, ROWS)
    rows["token"] = draw.integers(0, 32_000, frames)
    rows["probability"] = draw.random(frames)
    rows["seen"] = True
    pcm = draw.integers(-32_768, 32_768, (frames * FRAME, 2)).astype(np.int16)
    return Part(first_frame=first, sample_rate_hz=24_000, rows=rows, pcm=pcm)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(10, logging.getLogger("coda.test"))


@pytest.mark.parametrize("frames", [0, 1, 125])
def test_a_part_comes_back_to_the_bit(frames: int) -> None:
    made = part(250, frames)
    read = Part.from_bytes(made.to_bytes())
    assert (read.first_frame, read.sample_rate_hz) == (250, 24_000)
    np.testing.assert_array_equal(read.rows, made.rows)
    np.testing.assert_array_equal(read.pcm, made.pcm)


@pytest.mark.parametrize("damage", [b"", b"{}\n", b'{"version": 2}\n', part(0, 3).to_bytes()[:-200]])
def test_bytes_that_are_no_part_are_refused(store: MemoryStore, damage: bytes) -> None:
    store.put_blob("a", part_name(0), [damage])
    with pytest.raises(StoreError, match="'recording-00000' of conversation a cannot be read"):
        read_recording(store, "a")


def test_parts_become_a_whole_and_what_is_in_none_was_not_seen(store: MemoryStore) -> None:
    parts = [part(0, 5), part(5, 0), part(7, 3, seed=1)]
    for number, each in enumerate(parts):
        store.put_blob("a", part_name(number), [each.to_bytes()])
    whole = read_recording(store, "a")
    assert whole is not None
    assert (whole.frames, whole.missing, whole.frame_s) == (10, 2, 0.02)
    assert whole.rows["seen"].tolist() == [True] * 5 + [False] * 2 + [True] * 3
    np.testing.assert_array_equal(whole.voices[: 5 * FRAME], parts[0].pcm)
    np.testing.assert_array_equal(whole.voices[5 * FRAME : 7 * FRAME], 0)
    np.testing.assert_array_equal(whole.voices[7 * FRAME :], parts[2].pcm)
    assert read_recording(store, "b") is None


def test_what_was_rounded_once_stays_as_it_is() -> None:
    loud = np.random.default_rng(0).uniform(-1.2, 1.2, 10_000).astype(np.float32)
    once = rounded(loud)
    np.testing.assert_array_equal(rounded(once), once)
    np.testing.assert_array_equal(to_int16(once), to_int16(loud))
    np.testing.assert_allclose(once, np.clip(loud, -1, 32_767 / 32_768), atol=0.5 / 32_768)
    every = np.arange(-32_768, 32_768).astype(np.int16)
    heard = to_float32(every, AudioFormat())[:, 0]
    np.testing.assert_array_equal(rounded(heard), heard)
    np.testing.assert_array_equal(to_int16(heard), every)
