"""Spectra that losses compare."""

from __future__ import annotations

import math
from functools import cache
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from coda_demo_model.voice import SAMPLE_RATE_HZ

__all__ = ["MEL_BANDS", "MEL_HOPS", "log_mel", "mel_distance", "spectral_distance", "waveform_distance"]

MEL_BANDS: Final = 64
MEL_HOPS: Final = 8
"""Spectra of a frame."""

_HOP: Final = 240
_WINDOW: Final = 512
_FFT: Final = 1024
_FLOOR: Final = 1e-2
_SIZES: Final = (128, 256, 512, 1024)
_HEARD_BANDS: Final = 40
_HEARD_WINDOW: Final = 600


def log_mel(audio: torch.Tensor) -> torch.Tensor:
    """Return log10 mel amplitudes [B, frames, 8 * 64] of audio [B, frames * 1920], each within its frame."""
    around = (_WINDOW - _HOP) // 2
    padded = F.pad(audio, (around + (_FFT - _WINDOW) // 2, around + (_FFT - _WINDOW) // 2))
    spectrum = torch.stft(padded, _FFT, _HOP, _WINDOW, _hann(_WINDOW), center=False, return_complex=True).abs()
    bands = (spectrum.transpose(1, 2) @ _filters(MEL_BANDS, 60, 11_000).T)[:, : audio.shape[1] // _HOP]
    return torch.log10(bands + _FLOOR).reshape(len(audio), -1, MEL_HOPS * MEL_BANDS)


def spectral_distance(made: torch.Tensor, wanted: torch.Tensor, bits: np.random.Generator) -> torch.Tensor:
    """Return how far two audios [B, n] are apart in amplitude and in log amplitude, at a drawn resolution of four.

    One at a time: all four take longer than everything else in a step.
    """
    size = int(bits.choice(_SIZES))
    with torch.no_grad():
        target = _amplitude(wanted, size)
    found = _amplitude(made, size)
    apart = (found - target).abs().mean() / target.mean().clamp(min=1e-3)
    return apart + (torch.log(found + 5e-3) - torch.log(target + 5e-3)).abs().mean()


def mel_distance(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return how far two audios [B, n] are apart in the log powers from which recognisers of speech make their
    cepstra: 25 ms every 10 ms, 40 bands."""
    with torch.no_grad():
        target = _log_powers(wanted)
    return (_log_powers(made) - target).abs().mean()


def waveform_distance(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return how far two audios [B, n] are apart as they are and with their high frequencies raised."""
    plain = (made - wanted).abs().mean() / 0.05
    return plain + (_raised(made) - _raised(wanted)).abs().mean() / 0.02


def _raised(audio: torch.Tensor) -> torch.Tensor:
    return audio[:, 1:] - 0.95 * audio[:, :-1]


def _log_powers(audio: torch.Tensor) -> torch.Tensor:
    spectrum = torch.stft(audio, _FFT, _HOP, _HEARD_WINDOW, _hann(_HEARD_WINDOW), return_complex=True).abs()
    return torch.log(spectrum.pow(2).transpose(1, 2) @ _filters(_HEARD_BANDS, 100, 7600).T + 1e-5)


def _amplitude(audio: torch.Tensor, size: int) -> torch.Tensor:
    return torch.stft(audio, size, size // 4, window=_hann(size), return_complex=True).abs() + 1e-5


@cache
def _hann(size: int) -> torch.Tensor:
    return torch.hann_window(size)


@cache
def _filters(count: int, lowest_hz: float, highest_hz: float) -> torch.Tensor:
    """Return triangles [count, bins], evenly spaced in mel."""
    low, high = (2595 * math.log10(1 + hz / 700) for hz in (lowest_hz, highest_hz))
    corners = 700 * (10 ** (torch.linspace(low, high, count + 2) / 2595) - 1)
    bins = torch.linspace(0, SAMPLE_RATE_HZ / 2, _FFT // 2 + 1)
    rising = (bins[None] - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    falling = (corners[2:, None] - bins[None]) / (corners[2:] - corners[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0)
