"""Spectral losses hear what people hear: no phase, and every band."""

from __future__ import annotations

import numpy as np
import torch

from coda_demo_model.spectra import mel_distance, spectral_distance, waveform_distance
from coda_demo_model.voice import say


def test_spectra_do_not_hear_which_way_a_membrane_moves() -> None:
    audio = torch.from_numpy(say("hello coda").audio)[None]
    assert float(mel_distance(-audio, audio)) < 1e-5
    assert float(spectral_distance(-audio, audio, np.random.default_rng(0))) < 1e-5
    assert float(waveform_distance(-audio, audio)) > 1


def test_a_faint_band_counts_as_much_in_mel_powers_as_a_loud_one() -> None:
    audio = torch.from_numpy(say("listen and speak").audio)[None]
    spectrum = torch.fft.rfft(audio)
    hz = torch.fft.rfftfreq(audio.shape[1], 1 / 24_000)

    def without(low: float, high: float) -> torch.Tensor:
        return torch.fft.irfft(spectrum * ((hz < low) | (hz > high)), audio.shape[1])

    loud, faint = without(300, 500), without(5000, 7000)
    assert float((audio - loud).pow(2).sum()) > 10 * float((audio - faint).pow(2).sum())
    assert float(mel_distance(faint, audio)) > 0.5 * float(mel_distance(loud, audio))
