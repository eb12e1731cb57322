"""How a caller's voice changes on its way here: telephone and room, loudness, noise."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from coda_demo_model.background import COLOURS, music, noise, scaled
from coda_demo_model.voice import FRAME, SAMPLE_RATE_HZ

__all__ = ["background", "through_room"]

_POOL: Final = 24
_POOL_S: Final = 8


def through_room(audio: npt.NDArray[np.float32], bits: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return the audio with drawn loudness, tone, band limit and echo; some of it is left as it is."""
    gain = np.float32(10 ** bits.uniform(-0.5, 0.2))
    if bits.random() < 0.3:
        return audio * gain
    size = len(audio) + FRAME
    frequency = np.fft.rfftfreq(size, 1 / SAMPLE_RATE_HZ)
    nodes = bits.uniform(-8, 8, 6) * bits.random()
    tone_db = np.interp(np.log(frequency + 50), np.linspace(np.log(60), np.log(12_000), 6), nodes)
    response = 10 ** (tone_db / 20)
    if bits.random() < 0.5:
        edge_hz = 3400 * (9000 / 3400) ** bits.random()
        response = response / np.sqrt(1 + (frequency / edge_hz) ** 24)
    if bits.random() < 0.3:
        response = response * np.fft.rfft(_echo(size, bits))
    heard = np.fft.irfft(np.fft.rfft(audio, size) * response, size)[: len(audio)]
    before, after = (float(np.sqrt(np.mean(signal**2))) for signal in (audio, heard))
    return np.asarray(heard * (gain * before / max(after, 1e-6)), dtype=np.float32)


def background(samples: int, bits: np.random.Generator, *, loudest: float) -> npt.NDArray[np.float32]:
    """Return what is heard beside the caller: mostly faint noise, up to a root mean square of `loudest`."""
    rms = 10 ** bits.uniform(-4.7, np.log10(loudest))
    sound = _pool()[int(bits.integers(_POOL))]
    begin = int(bits.integers(len(sound)))
    return scaled(np.resize(np.roll(sound, -begin), samples).astype(np.float64), rms)


def _echo(size: int, bits: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return the impulse response of a small room."""
    length = min(size, int(SAMPLE_RATE_HZ * 0.25))
    tail = bits.standard_normal(length) * np.exp(-np.arange(length) / (SAMPLE_RATE_HZ * bits.uniform(0.01, 0.06)))
    response = np.zeros(size)
    response[:length] = tail * bits.uniform(0.02, 0.08)
    response[0] = 1.0
    return response


@cache
def _pool() -> tuple[npt.NDArray[np.float32], ...]:
    """Return sounds of several seconds: noise of each colour, and music."""
    bits = np.random.default_rng(11)
    samples = _POOL_S * SAMPLE_RATE_HZ
    colours = tuple(COLOURS)
    noises = tuple(noise(samples, colours[number % len(colours)], 1.0, bits) for number in range(_POOL * 2 // 3))
    return noises + tuple(music(samples, 1.0, bits) for _ in range(_POOL - len(noises)))
