"""Blocks of any length, rate and channel count in; frames out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import soxr
from coda_core import AudioFormat, Block
from coda_core.audio import to_float32
from numpy.typing import NDArray


class Framing:
    """One conversation's input. Samples that are no numbers become silence, and are counted."""

    def __init__(self, rate_hz: int, samples: int) -> None:
        self._rate_hz = rate_hz
        self._samples = samples
        self._format: AudioFormat | None = None
        self._resampler: Any = None
        self.rest: NDArray[np.float32] = np.zeros(0, np.float32)
        """What is not a whole frame yet."""
        self.nan_samples = 0

    def push(self, block: Block) -> Iterator[NDArray[np.float32]]:
        pcm = to_float32(block.pcm, block.format)
        bad = ~np.isfinite(pcm)
        if bad.any():
            self.nan_samples += int(bad.any(axis=1).sum())
            pcm = np.where(bad, np.float32(0), pcm)
        mono = pcm.mean(axis=1, dtype=np.float32) if pcm.shape[1] > 1 else pcm[:, 0]
        if block.format != self._format:
            self._format = block.format
            rate_hz = block.format.sample_rate_hz
            self._resampler = None if rate_hz == self._rate_hz else soxr.ResampleStream(rate_hz, self._rate_hz, 1)
        if self._resampler is not None:
            mono = self._resampler.resample_chunk(mono)
        return self._cut(mono)

    def flush(self) -> Iterator[NDArray[np.float32]]:
        """There is no more for now: the last partial frame is filled with silence."""
        if self._resampler is not None:
            yield from self._cut(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
            self._format = self._resampler = None
        if len(self.rest):
            yield from self._cut(np.zeros(self._samples - len(self.rest), np.float32))

    def _cut(self, mono: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        self.rest = np.concatenate([self.rest, mono])
        while len(self.rest) >= self._samples:
            frame, self.rest = self.rest[: self._samples].copy(), self.rest[self._samples :]
            yield frame
