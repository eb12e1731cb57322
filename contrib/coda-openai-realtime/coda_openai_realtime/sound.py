"""The three ways in which the protocol carries sound: 16-bit PCM at 24 kHz, and G.711 at 8 kHz in both laws."""

from __future__ import annotations

from functools import cache
from typing import Final

import attrs
import numpy as np
import soxr
from coda_core import SAMPLE_RATE_HZ, AudioFormat, Block
from numpy.typing import NDArray

__all__ = ["FORMATS", "PCM", "Encoder", "SoundFormat", "decoded"]


@attrs.frozen
class SoundFormat:
    """One of them. Mono."""

    type: str
    """What it is called today."""
    beta_name: str
    """What it was called in the beta."""
    rate_hz: int
    sample_bytes: int


PCM: Final = SoundFormat("audio/pcm", "pcm16", SAMPLE_RATE_HZ, 2)
_ULAW: Final = SoundFormat("audio/pcmu", "g711_ulaw", 8000, 1)
_ALAW: Final = SoundFormat("audio/pcma", "g711_alaw", 8000, 1)
FORMATS: Final = (PCM, _ULAW, _ALAW)


def decoded(data: bytes, format: SoundFormat) -> Block:
    """Return what a client sent. Raises ValueError where it is no whole number of samples."""
    if len(data) % format.sample_bytes:
        raise ValueError(f"{len(data)} bytes are no whole number of samples of {format.sample_bytes} bytes")
    layout = AudioFormat(format.rate_hz, sample_type="int16")
    if format is PCM:
        return Block(np.frombuffer(data, "<i2"), layout)
    return Block(_levels(format.type)[np.frombuffer(data, np.uint8)], layout)


class Encoder:
    """Turns the model's voice into what a client hears, one response after another."""

    def __init__(self, format: SoundFormat) -> None:
        self._format = format
        self._resampler = None if format is PCM else soxr.ResampleStream(SAMPLE_RATE_HZ, format.rate_hz, 1, "float32")

    def encode(self, pcm: NDArray[np.float32]) -> bytes:
        """Take ``[samples]`` at 24 kHz, full scale 1.0."""
        return self._coded(pcm if self._resampler is None else self._resampler.resample_chunk(pcm))

    def finish(self) -> bytes:
        """Return what the resampler still holds; nothing can be encoded after this."""
        if self._resampler is None:
            return b""
        return self._coded(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))

    def _coded(self, pcm: NDArray[np.float32]) -> bytes:
        samples: NDArray[np.int16] = np.clip(np.rint(pcm * 32768.0), -32768, 32767).astype("<i2")
        if self._format is PCM:
            return samples.tobytes()
        return _codes(self._format.type)[samples.view(np.uint16)].tobytes()


@cache
def _levels(type: str) -> NDArray[np.int16]:
    """Return the sample that each of the 256 codes of ITU-T G.711 stands for, on the scale of 16 bits."""
    code: NDArray[np.int64] = np.arange(256)
    if type == _ULAW.type:
        code = ~code & 0xFF
        size = ((((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)) - 0x84
        return np.where(code & 0x80, -size, size).astype(np.int16)
    code = code ^ 0x55
    segment, step = (code & 0x70) >> 4, ((code & 0x0F) << 4) + 8
    size = np.where(segment == 0, step, (step + 0x100) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, size, -size).astype(np.int16)


@cache
def _codes(type: str) -> NDArray[np.uint8]:
    """Return the code of the nearest level for each 16-bit sample, by its bits read without a sign."""
    levels, codes = np.unique(_levels(type)[::-1], return_index=True)  # of two zeros the positive one
    between = (levels[1:].astype(np.float64) + levels[:-1]) / 2
    samples = np.arange(65_536, dtype=np.uint16).view(np.int16)
    return (255 - codes[np.searchsorted(between, samples)]).astype(np.uint8)
