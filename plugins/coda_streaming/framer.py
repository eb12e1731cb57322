"""Cuts blocks of any shape into frames of the model's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, TypeGuard

import numpy as np
import soxr
from numpy.typing import NDArray

from coda_core.audio import AudioFormat, Block, to_float32

__all__ = ["Framer"]

_FLOAT32: Final = np.dtype(np.float32)
_NOTHING: NDArray[np.float32] = np.zeros(0, np.float32)


class Framer:
    """One conversation's blocks in, frames out: mono float32 ``[frame_samples]`` at the model's rate, read-only.

    What a resampler holds cannot be exported: it is flushed, so that no sample is lost, and the next one starts
    afresh behind it. Input at the model's own rate goes on exactly where it was.

    Channels are averaged; samples that are not finite become silence and are counted, but in a block that is just one
    frame as it should be: that is handed on as it is, and the worker looks at all frames of a step at once, for less.
    Resampling is soxr's
    streaming mode, whose filter delay is compensated: sample k of the output lies at k / `sample_rate_hz`
    seconds of the input, only it comes out some milliseconds later. A change of format flushes what is under way.
    """

    def __init__(self, sample_rate_hz: int, frame_samples: int) -> None:
        self._rate = sample_rate_hz
        self._frame = frame_samples
        self._format: AudioFormat | None = None
        self._resampler: Any = None
        self._rest = _NOTHING
        self.nan_samples = 0

    def push(self, block: Block) -> Sequence[NDArray[np.float32]]:
        """Return the frames that `block` completes. Raises `AudioError`, before anything is taken, where it is bad."""
        pcm, format = block.pcm, block.format
        same = format is self._format or format == self._format
        if same and self._resampler is None and self._is_one_frame(pcm):
            return (_kept(pcm),)
        samples = self._mono(block)
        late = _NOTHING if same else self._change_to(format)
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples)
        return self._cut(np.concatenate((self._rest, late, samples)))

    def flush(self) -> Sequence[NDArray[np.float32]]:
        """Return what is left, the last frame padded with silence; then start as if new."""
        samples = np.concatenate((self._rest, self._change_to(None)))
        missing = -len(samples) % self._frame
        return self._cut(np.pad(samples, (0, missing)))

    def export(self) -> tuple[AudioFormat | None, NDArray[np.float32]]:
        """Return the format that still holds and the samples that fill no frame yet; they stay here too."""
        if self._resampler is not None:
            self._rest = np.concatenate((self._rest, self._change_to(None)))
        return self._format, self._rest

    def restore(self, format: AudioFormat | None, rest: NDArray[np.float32], nan_samples: int) -> None:
        """Go on where `export` left off."""
        self._format, self._rest, self.nan_samples = format, rest, nan_samples

    def _is_one_frame(self, pcm: object) -> TypeGuard[NDArray[np.float32]]:
        """Return whether `pcm` is just what a frame is: what peers send most, and worth no further look."""
        return (
            isinstance(pcm, np.ndarray)
            and pcm.shape == (self._frame,)
            and pcm.dtype == _FLOAT32
            and not len(self._rest)
        )

    def _mono(self, block: Block) -> NDArray[np.float32]:
        samples = to_float32(block.pcm, block.format)
        # One sum tells of all samples: it is finite only where each of them is (or far too loud to be audio).
        if not math.isfinite(np.vdot(samples, samples)):
            bad = ~np.isfinite(samples)
            self.nan_samples += int(bad.sum())
            samples = np.where(bad, np.float32(0), samples)
        return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)

    def _change_to(self, format: AudioFormat | None) -> NDArray[np.float32]:
        """Set up for another format; return what the resampler of the one before still held."""
        late = _NOTHING
        if self._resampler is not None:
            late = self._resampler.resample_chunk(_NOTHING, last=True)
            self._resampler = None
        if format is not None and format.sample_rate_hz != self._rate:
            self._resampler = soxr.ResampleStream(format.sample_rate_hz, self._rate, 1, dtype="float32")
        self._format = format
        return late

    def _cut(self, samples: NDArray[np.float32]) -> Sequence[NDArray[np.float32]]:
        whole = len(samples) - len(samples) % self._frame
        self._rest = samples[whole:].copy() if whole < len(samples) else _NOTHING
        samples.flags.writeable = False
        return list(samples[:whole].reshape(-1, self._frame))


def _kept(pcm: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a copy that nobody can write to.

    Unlike an array's own `copy` it is made with the interpreter lock held: to give that up, and wait for it again, for
    the sake of a few kilobytes would cost the worker more than the copy itself.
    """
    return np.frombuffer(pcm.tobytes(), np.float32)
