"""What is heard when nobody speaks: noise of several colours and played notes."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from coda_demo_model.voice import SAMPLE_RATE_HZ

__all__ = ["COLOURS", "music", "noise", "scaled"]

COLOURS: Final = {"white": 0.0, "pink": -0.5, "brown": -1.0, "blue": 0.5}
"""Exponents of frequency that shape the amplitude of white noise."""


def scaled(audio: npt.NDArray[np.float64], rms: float) -> npt.NDArray[np.float32]:
    """Return the audio at a root mean square, never clipped below what that takes."""
    return (audio * (rms / max(1e-9, float(np.sqrt(np.mean(audio**2)))))).astype(np.float32)


def noise(samples: int, colour: str, rms: float, bits: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return steady noise of a colour."""
    spectrum = np.fft.rfft(bits.standard_normal(samples))
    spectrum *= np.maximum(np.fft.rfftfreq(samples, 1 / SAMPLE_RATE_HZ), 40.0) ** COLOURS[colour]
    return scaled(np.fft.irfft(spectrum, samples), rms)


def music(samples: int, rms: float, bits: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return chords, a melody and a beat, played by decaying harmonic tones and bursts of noise."""
    audio = np.zeros(samples + 3 * SAMPLE_RATE_HZ)
    beat = int(SAMPLE_RATE_HZ * bits.uniform(0.25, 0.6))
    root = float(bits.uniform(80, 200))
    scale = np.array([0, 2, 4, 5, 7, 9, 11, 12, 14, 16])
    harmonics = int(bits.integers(2, 9))
    for begin in range(0, samples, beat):
        if begin % (4 * beat) == 0:
            degree = int(bits.integers(0, 5))
            for note in (degree, degree + 2, degree + 4):
                _play(audio, begin, _tone(root * 2 ** (scale[note] / 12), 4 * beat, harmonics, 1.5))
        if bits.random() < 0.7:
            pitch = 2 * root * 2 ** (scale[bits.integers(len(scale))] / 12)
            _play(audio, begin, 1.5 * _tone(pitch, 2 * beat, harmonics, 4.0))
        if bits.random() < 0.5:
            burst = bits.standard_normal(SAMPLE_RATE_HZ // 8)
            _play(audio, begin, burst * np.exp(-np.arange(len(burst)) / (0.02 * SAMPLE_RATE_HZ)))
    return scaled(audio[:samples], rms)


def _play(audio: npt.NDArray[np.float64], begin: int, sound: npt.NDArray[np.float64]) -> None:
    audio[begin : begin + len(sound)] += sound[: len(audio) - begin]


def _tone(pitch_hz: float, samples: int, harmonics: int, decay_per_s: float) -> npt.NDArray[np.float64]:
    seconds = np.arange(samples) / SAMPLE_RATE_HZ
    tone = sum(np.sin(2 * np.pi * pitch_hz * order * seconds) / order for order in range(1, harmonics + 1))
    attack = np.minimum(1, seconds / 0.01)
    return np.asarray(tone * attack * np.exp(-decay_per_s * seconds))
