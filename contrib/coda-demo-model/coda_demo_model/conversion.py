"""Other people out of one: speech with another throat and another melody, by the WORLD vocoder.

Engines whose speech comes from recordings have few voices, and a model that hears no others learns those. Pitch and
throat are changed apart from each other here, which playing audio faster cannot do.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyworld

__all__ = ["as_another_person"]

_PERIOD_MS: Final = 8.0
_FFT: Final = 1024
_LOWEST_HZ: Final = 71.0
_HIGHEST_HZ: Final = 400.0
_PITCHES_HZ: Final = (85.0, 260.0)
_THROAT: Final = 0.2
_BEND: Final = 0.06
_NODES: Final = 6
_RANGE: Final = (0.5, 1.6)


def as_another_person(
    audio: npt.NDArray[np.float32], rate_hz: int, bits: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Return speech [n] with a drawn pitch, melody and throat; every sound stays where it is.

    The frequencies of the spectral envelope are moved by a drawn factor, the same for all but for a drawn bend, since
    people's formants do not differ by one number.
    """
    sound = audio.astype(np.float64)
    pitch, times = pyworld.dio(
        sound, rate_hz, f0_floor=_LOWEST_HZ, f0_ceil=_HIGHEST_HZ, frame_period=_PERIOD_MS, speed=4
    )
    envelope = pyworld.cheaptrick(sound, pitch, times, rate_hz, fft_size=_FFT)
    aperiodicity = pyworld.d4c(sound, pitch, times, rate_hz, fft_size=_FFT)
    source = _warp(envelope.shape[1], bits)
    made = pyworld.synthesize(
        _another_melody(pitch, bits),
        _moved(envelope, source),
        _moved(aperiodicity, source),
        rate_hz,
        _PERIOD_MS,
    )
    # The vocoder makes whole periods.
    return np.pad(made, (0, max(0, len(audio) - len(made))))[: len(audio)].astype(np.float32)


def _another_melody(pitch: npt.NDArray[np.float64], bits: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return pitches in Hz around another mean, with a wider or narrower range; 0 stays 0, which is unvoiced."""
    voiced = pitch > 0
    moved = np.zeros_like(pitch)
    if voiced.any():
        mean = np.exp(np.log(pitch[voiced]).mean())
        wanted = np.exp(bits.uniform(*np.log(_PITCHES_HZ)))
        moved[voiced] = wanted * (pitch[voiced] / mean) ** bits.uniform(*_RANGE)
    return np.where(voiced, np.clip(moved, _LOWEST_HZ, 2 * _HIGHEST_HZ), 0.0)


def _warp(bins: int, bits: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return for each bin the place in the old spectrum that it takes its value from."""
    factor = np.exp(bits.uniform(-_THROAT, _THROAT) + bits.uniform(-_BEND, _BEND, _NODES))
    places = np.linspace(0, bins - 1, _NODES)
    return np.minimum(np.arange(bins) * np.interp(np.arange(bins), places, factor), bins - 1)


def _moved(spectra: npt.NDArray[np.float64], source: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    low = np.minimum(source.astype(int), spectra.shape[1] - 2)
    share = source - low
    return np.ascontiguousarray(spectra[:, low] * (1 - share) + spectra[:, low + 1] * share)
