"""Phonemes and words of speech that no engine has labelled: those of espeak-ng, moved to where they sound.

The same text, spoken by espeak-ng, is laid along the speech by dynamic time warping of mel spectra (Sakoe and Chiba,
"Dynamic programming algorithm optimization for spoken word recognition", 1978).
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
import soxr

from coda_demo_model.espeak import SpeechEvent, SpokenText, speak

__all__ = ["aligned_events"]

_RATE_HZ: Final = 16_000
_HOP: Final = 256
_WINDOW: Final = 400
_FFT: Final = 512
_BANDS: Final = 20
_LATE_S: Final = 0.04
"""espeak-ng's events are so much later than their sound."""
_REFERENCE: Final = "en-us"


def aligned_events(
    text: str, audio: npt.NDArray[np.float32], rate_hz: float
) -> tuple[tuple[SpeechEvent, ...], tuple[SpeechEvent, ...]]:
    """Return phonemes and words of `audio` [n], which says `text`, as espeak-ng would have told them.

    `audio` starts and ends with speech; the mean error of a phoneme's begin is some 20 ms between engines.
    """
    reference = speak(text, _REFERENCE, words_per_minute=160, pitch=50, pitch_range=50)
    begin_s, end_s = _spoken_part(reference)
    rate = reference.sample_rate_hz
    spoken = reference.audio[int(begin_s * rate) : int(end_s * rate)]
    path = _warp(_features(spoken, rate), _features(audio, rate_hz))
    hop_s = _HOP / _RATE_HZ

    def moved(events: tuple[SpeechEvent, ...]) -> tuple[SpeechEvent, ...]:
        places = [(event.second - _LATE_S - begin_s) / hop_s for event in events]
        return tuple(
            SpeechEvent(float(np.interp(place, np.arange(len(path)), path)) * hop_s + _LATE_S, event.text)
            for place, event in zip(places, events, strict=True)
        )

    return moved(reference.phonemes), moved(reference.words)


def _spoken_part(spoken: SpokenText) -> tuple[float, float]:
    loud = np.flatnonzero(np.abs(spoken.audio) > 0.01 * np.abs(spoken.audio).max())
    return loud[0] / spoken.sample_rate_hz, (loud[-1] + 1) / spoken.sample_rate_hz


def _features(audio: npt.NDArray[np.float32], rate_hz: float) -> npt.NDArray[np.float64]:
    """Return log mel spectra [hops, bands], each band even over the utterance, with how they change."""
    sound = np.pad(soxr.resample(audio, rate_hz, _RATE_HZ), _WINDOW // 2)
    hops = max(2, (len(sound) - _WINDOW) // _HOP + 1)
    sound = np.pad(sound, (0, max(0, (hops - 1) * _HOP + _WINDOW - len(sound))))
    frames = np.lib.stride_tricks.sliding_window_view(sound, _WINDOW)[::_HOP][:hops] * np.hanning(_WINDOW)
    amplitude = np.abs(np.fft.rfft(frames, _FFT)) @ _filters()
    bands = np.log(amplitude + 1e-3 * amplitude.max())
    bands = (bands - bands.mean(0)) / (bands.std(0) + 0.3)
    return np.concatenate([bands, 2 * np.gradient(bands, axis=0)], axis=1)


@cache
def _filters() -> npt.NDArray[np.float64]:
    """Return triangles [bins, bands], evenly spaced in mel from 100 Hz to 6 kHz."""
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (100, 6000))
    corners = 700 * (10 ** (np.linspace(low, high, _BANDS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(_FFT, 1 / _RATE_HZ)[:, None]
    rising = (bins - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - bins) / (corners[2:] - corners[1:-1])
    return np.asarray(np.clip(np.minimum(rising, falling), 0, None))


def _warp(reference: npt.NDArray[np.float64], found: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return for each hop of the reference the hop of `found` that it is laid on."""
    apart = np.sqrt(((reference[:, None] - found[None]) ** 2).sum(-1))
    rows, columns = apart.shape
    # A step along one side alone costs a little more, so that the path keeps near the diagonal.
    cost = np.full((rows + 1, columns + 1), np.inf)
    cost[0, 0] = 0.0
    straight, slanted = apart.tolist(), cost.tolist()
    for row in range(rows):
        before, here, distances = slanted[row], slanted[row + 1], straight[row]
        for column in range(columns):
            distance = distances[column]
            here[column + 1] = min(
                before[column] + 2 * distance, before[column + 1] + 1.2 * distance, here[column] + 1.2 * distance
            )
    sums, counts = np.zeros(rows), np.zeros(rows)
    row, column = rows, columns
    while row > 0 and column > 0:
        sums[row - 1] += column - 1
        counts[row - 1] += 1
        ways = (slanted[row - 1][column - 1], slanted[row - 1][column], slanted[row][column - 1])
        best = ways.index(min(ways))
        row, column = row - (best != 2), column - (best != 1)
    return sums / np.maximum(counts, 1)
