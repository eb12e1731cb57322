"""The model's own voice: words of espeak-ng, re-excited so that every 80 ms frame has the same fine structure.

Three decisions make it a voice that a small codec learns without adversarial training and that a small language
model can say new sentences in:

- The excitation repeats with the frame: pulses at a whole multiple of 12.5 Hz, and one frozen frame of noise. A frame
  is then a function of its spectral envelopes and its number of pulses; no phase or noise has to be coded.
- A word always sounds the same, lasts whole frames and starts on one. A sentence is words joined end to end.
- The last word of a sentence differs from its second frame on, where its pitch falls and it takes a frame longer: the
  text has said by then, with a full stop, that it is the last.

The price is a robot's evenness.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt
import pyworld
import soxr

from coda_demo_model.espeak import SpokenText, speak

__all__ = ["FRAME", "SAMPLE_RATE_HZ", "Sentence", "Word", "know_words", "say", "say_word"]

SAMPLE_RATE_HZ: Final = 24_000
FRAME: Final = 1920
"""Samples of a frame of 80 ms."""

_HOP: Final = 120
_HOPS: Final = FRAME // _HOP
_FFT: Final = 1024
_BASE_VOICE: Final = "en-us+klatt4"
_WORDS_PER_MINUTE: Final = 225
_LEVEL: Final = 0.5
_SILENT: Final = 1e-11
_NOISE: Final = np.random.Generator(np.random.PCG64(7)).standard_normal(FRAME)

_UNSTRESSED: Final = {
    "a": "[[a2]]",
    "the": "[[D@2]]",
    "an": "[[@n]]",
    "and": "[[and]]",
    "of": "[[Vv]]",
    "to": "[[tu:]]",
}
"""Words that espeak-ng says differently when they stand alone, as phonemes."""

_EVEN: Final = (
    "a an and are as at be but by can for from has have he her him his i in is it me my of on or our so that the "
    "their them then they this to us was we were will with you your"
)
"""Words that start without a rise of pitch."""


@attrs.frozen(eq=False)
class Word:
    """A word as it always sounds at its place."""

    text: str
    audio: npt.NDArray[np.float32]
    """[frames * 1920]."""
    pulses: npt.NDArray[np.int64]
    """[frames]: pulses of the excitation in each frame, 80 / 6.4 Hz apart for each."""

    @property
    def frames(self) -> int:
        return len(self.pulses)


@attrs.frozen(eq=False)
class Sentence:
    """Words joined end to end."""

    text: str
    words: tuple[Word, ...]

    @property
    def audio(self) -> npt.NDArray[np.float32]:
        """[frames * 1920]."""
        return np.concatenate([word.audio for word in self.words])

    @property
    def pulses(self) -> npt.NDArray[np.int64]:
        """[frames]."""
        return np.concatenate([word.pulses for word in self.words])

    @property
    def starts(self) -> tuple[int, ...]:
        """The frame in which each word starts."""
        return tuple(int(start) for start in np.cumsum([0, *(word.frames for word in self.words[:-1])]))

    @property
    def frames(self) -> int:
        return sum(word.frames for word in self.words)


def say(text: str) -> Sentence:
    """Return the voice saying `text`, words separated by single spaces."""
    words = text.split()
    return Sentence(text, tuple(say_word(word, last=place == len(words) - 1) for place, word in enumerate(words)))


_KNOWN: Final[dict[tuple[str, bool], Word]] = {}


def know_words(words: Iterable[tuple[Word, bool]]) -> None:
    """Take words that `say_word` made earlier, each with whether it is a last one: making one takes a while."""
    _KNOWN.update({(word.text, last): word for word, last in words})


def say_word(text: str, *, last: bool) -> Word:
    """Return one word as it sounds at the end of a sentence or before it."""
    if (text, last) not in _KNOWN:
        _KNOWN[text, last] = _make_word(text, last=last)
    return _KNOWN[text, last]


def _make_word(text: str, *, last: bool) -> Word:
    voiced, envelope, aperiodicity = _analyse(text)
    hops = len(voiced)
    frames = max(2, round(hops / _HOPS))
    # Both forms share their first frame, in which nobody knows yet which of the two it is.
    first = (np.arange(_HOPS) + 0.5) * hops / (frames * _HOPS)
    rest = first[-1] + (hops - first[-1]) * np.arange(1, (frames - 1 + last) * _HOPS + 1) / (
        (frames - 1 + last) * _HOPS + 0.5
    )
    source = np.clip(np.concatenate([first, rest]).astype(int), 0, hops - 1)
    pulses = _melody(frames + last, even=text in _EVEN.split(), last=last)
    audio = _synthesise(voiced[source], envelope[source], aperiodicity[source], pulses)
    return Word(text, (_LEVEL * audio).astype(np.float32), pulses)


def _melody(frames: int, *, even: bool, last: bool) -> npt.NDArray[np.int64]:
    """Return pulses per frame: a rise at the start of a stressed word, a fall at the end of a sentence."""
    pulses = np.full(frames, 10)
    if not even:
        pulses[: max(1, frames // 2)] = 11
    if last:
        pulses[1:] = 10
        pulses[max(1, frames - max(2, frames // 2)) :] = 9
    return pulses


@cache
def _analyse(text: str) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return for each hop of a word whether it is voiced, its spectral envelope and its aperiodicity."""
    spoken = speak(
        _UNSTRESSED.get(text, text), _BASE_VOICE, words_per_minute=_WORDS_PER_MINUTE, pitch=50, pitch_range=30
    )
    audio = soxr.resample(_without_pauses(spoken), spoken.sample_rate_hz, SAMPLE_RATE_HZ).astype(np.float64)
    period_ms = 1000 * _HOP / SAMPLE_RATE_HZ
    pitch, times = pyworld.dio(audio, SAMPLE_RATE_HZ, f0_floor=60.0, f0_ceil=500.0, frame_period=period_ms)
    pitch = pyworld.stonemask(audio, pitch, times, SAMPLE_RATE_HZ)
    envelope = pyworld.cheaptrick(audio, pitch, times, SAMPLE_RATE_HZ, fft_size=_FFT)
    aperiodicity = pyworld.d4c(audio, pitch, times, SAMPLE_RATE_HZ, fft_size=_FFT)
    return pitch > 0, envelope, aperiodicity


def _without_pauses(spoken: SpokenText) -> npt.NDArray[np.float32]:
    """Return the audio from its first phoneme to the pause after its last."""
    sounds = [index for index, phoneme in enumerate(spoken.phonemes) if not phoneme.text.startswith("_")]
    begin = spoken.phonemes[sounds[0]].second
    end = spoken.phonemes[sounds[-1] + 1].second if sounds[-1] + 1 < len(spoken.phonemes) else None
    rate = spoken.sample_rate_hz
    return spoken.audio[int(begin * rate) : None if end is None else int(end * rate)]


def _synthesise(
    voiced: npt.NDArray[np.bool_],
    envelope: npt.NDArray[np.float64],
    aperiodicity: npt.NDArray[np.float64],
    pulses: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Return excitation shaped by envelopes, hop by hop; what rings on after the last frame is cut off."""
    hops = len(voiced)
    periodic = np.concatenate([_pulse_frame(int(count)) for count in pulses])
    noise = np.tile(_NOISE, len(pulses))
    filters = _minimum_phase(np.maximum(envelope, 1e-12))
    noisy = np.where(voiced[:, None], np.clip(aperiodicity, 0, 1), 1.0)
    window = np.hanning(2 * _HOP + 1)[:-1]
    audio = np.zeros(hops * _HOP + _HOP + _FFT)
    padded_periodic, padded_noise = (np.pad(signal, (_HOP, _HOP)) for signal in (periodic, noise))
    for hop in range(hops):
        if envelope[hop].max() < _SILENT:
            continue
        here = slice(hop * _HOP, (hop + 2) * _HOP)
        tone = np.fft.rfft(padded_periodic[here] * window, _FFT) * np.sqrt(1 - noisy[hop] ** 2)
        hiss = np.fft.rfft(padded_noise[here] * window, _FFT) * noisy[hop]
        audio[hop * _HOP : hop * _HOP + _FFT] += np.fft.irfft((tone + hiss) * filters[hop])
    return audio[: hops * _HOP]


def _pulse_frame(count: int) -> npt.NDArray[np.float64]:
    frame = np.zeros(FRAME)
    frame[np.round(np.arange(count) * FRAME / count).astype(int)] = np.sqrt(FRAME / count)
    return frame


def _minimum_phase(power: npt.NDArray[np.float64]) -> npt.NDArray[np.complex128]:
    """Return the spectra [hops, bins] of the minimum-phase filters with these power spectra."""
    cepstrum = np.fft.irfft(0.5 * np.log(power), axis=1)
    cepstrum[:, 1 : _FFT // 2] *= 2
    cepstrum[:, _FFT // 2 + 1 :] = 0
    return np.exp(np.fft.rfft(cepstrum, axis=1))
