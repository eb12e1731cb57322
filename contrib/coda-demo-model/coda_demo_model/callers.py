"""Callers: phrases in many voices, with the phoneme of every 20 ms and the word of every moment."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from coda_demo_model.alignment import aligned_events
from coda_demo_model.conversion import as_another_person
from coda_demo_model.espeak import SpeechEvent, speak, variants
from coda_demo_model.other_engines import FESTIVAL_VOICES, PICO_VOICES, speak_by_festival, speak_by_pico
from coda_demo_model.voice import SAMPLE_RATE_HZ

__all__ = ["Call", "call_by_another", "call_by_espeak", "call_by_flite", "corpus_variants"]

LANGUAGES: Final = ("en-us", "en-us", "en-us", "en-gb-x-gbclan", "en-gb-scotland", "en-gb-x-rp", "en-us-nyc", "en-029")
_UNLIKE_PEOPLE: Final = ("whisper", "croak", "demonic", "robosoft", "unirobot", "anikarobot", "fast", "mr ", "klatt4")
_LABEL_S: Final = 0.02
_QUIET: Final = 0.01
_PICO: Final = 0.5
"""Share of SVOX Pico, beside Festival; each has two voices."""
_ANOTHER_PERSON: Final = 0.75
_ANOTHER_SYNTHESISER: Final = 0.15
"""Share of espeak-ng's calls that are turned into another person too, and lose its way of making waves."""


@attrs.frozen(eq=False)
class Call:
    """What a caller said."""

    intent: str
    """Empty for words that mean nothing together."""
    text: str
    voice: str
    audio: npt.NDArray[np.int16]
    """[n] at 24 kHz, without silence around it, at its loudest half of full scale."""
    phonemes: tuple[tuple[int, str], ...]
    """The 20 ms in which each phoneme begins, and espeak's name of it; empty for flite."""
    words: tuple[tuple[int, str], ...]
    """The same for words."""


def corpus_variants(held_out: Collection[str]) -> tuple[str, ...]:
    """Return espeak-ng's variants that sound like people, without those that are kept for judging."""
    kept = (name for name in variants() if name not in held_out and not name.lower().startswith(_UNLIKE_PEOPLE))
    return ("", *kept)


def call_by_espeak(intent: str, text: str, variant: str, bits: np.random.Generator, *, stretch: float = 0.0) -> Call:
    """Return `text` in a voice of espeak-ng at a drawn speed and pitch.

    With `stretch`, which the corpus has, the audio is played up to so much faster or slower, which makes a throat
    shorter or longer, and some calls are turned into another person.
    Raises `ValueError` where espeak-ng has no such voice.
    """
    language = str(bits.choice(LANGUAGES))
    voice = f"{language}+{variant}" if variant else language
    spoken = speak(
        text,
        voice,
        words_per_minute=int(bits.integers(125, 200)),
        pitch=int(bits.integers(25, 76)),
        pitch_range=int(bits.integers(25, 76)),
    )
    ratio = float(np.exp(bits.uniform(-stretch, stretch)))
    audio, begin = _trimmed(soxr.resample(spoken.audio, spoken.sample_rate_hz, SAMPLE_RATE_HZ * ratio))
    labels = _labels(spoken.phonemes, spoken.words, ratio, begin / SAMPLE_RATE_HZ)
    if stretch and bits.random() < _ANOTHER_SYNTHESISER:
        audio = _another_person(audio, bits)
    return Call(intent, text, voice, audio, *labels)


def call_by_another(intent: str, text: str, bits: np.random.Generator, *, stretch: float = 0.0) -> Call:
    """Return `text` in a voice of SVOX Pico or Festival at a drawn speed and pitch, labelled by alignment.

    Most of them are turned into other people, as these engines have few voices. Raises `RuntimeError` where Festival is
    not installed.
    """
    ratio = float(np.exp(bits.uniform(-stretch, stretch)))
    if bits.random() < _PICO:
        voice = str(bits.choice(PICO_VOICES))
        speed, pitch = ratio * float(bits.uniform(0.85, 1.25)), float(bits.uniform(0.75, 1.25))
        sound, rate = speak_by_pico(text, voice, speed=speed, pitch=pitch)
    else:
        voice = str(bits.choice(FESTIVAL_VOICES))
        sound, rate = speak_by_festival(text, voice, stretch=float(bits.uniform(0.85, 1.2)) / ratio)
    audio, _ = _trimmed(soxr.resample(sound, rate, SAMPLE_RATE_HZ * ratio))
    events = aligned_events(text, audio.astype(np.float32) / np.float32(32767), SAMPLE_RATE_HZ)
    if bits.random() < _ANOTHER_PERSON:
        audio = _another_person(audio, bits)
    return Call(intent, text, voice, audio, *_labels(*events, 1.0, 0.0))


def call_by_flite(intent: str, text: str, voice: str, bits: np.random.Generator) -> Call:
    """Return `text` in a voice of flite at a drawn speed.

    Raises `FileNotFoundError` where flite is not installed, `CalledProcessError` where it has no such voice.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "call.wav"
        speed = f"duration_stretch={bits.uniform(0.9, 1.15):.3f}"
        command = ["flite", "-voice", voice, "--setf", speed, "-t", text, "-o", str(path)]
        subprocess.run(command, check=True, capture_output=True)
        sound, rate = soundfile.read(path, dtype="float32")
    audio, _ = _trimmed(soxr.resample(sound, rate, SAMPLE_RATE_HZ))
    return Call(intent, text, f"flite {voice}", audio, (), ())


def _another_person(audio: npt.NDArray[np.int16], bits: np.random.Generator) -> npt.NDArray[np.int16]:
    made = as_another_person(audio.astype(np.float32) / np.float32(32767), SAMPLE_RATE_HZ, bits)
    return (made * (0.5 / max(1e-3, float(np.abs(made).max()))) * 32767).astype(np.int16)


def _trimmed(audio: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int16], int]:
    """Return the audio at half scale, cut to where it is not silent, and how many samples were cut before it."""
    audio = audio * np.float32(0.5 / max(1e-3, float(np.abs(audio).max())))
    loud = np.flatnonzero(np.abs(audio) > _QUIET)
    begin, end = (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, len(audio))
    return (audio[begin:end] * 32767).astype(np.int16), begin


def _labels(
    phonemes: Sequence[SpeechEvent], words: Sequence[SpeechEvent], ratio: float, cut_s: float
) -> tuple[tuple[tuple[int, str], ...], tuple[tuple[int, str], ...]]:
    def placed(events: Iterable[tuple[float, str]]) -> tuple[tuple[int, str], ...]:
        return tuple((max(0, round((second * ratio - cut_s) / _LABEL_S)), text) for second, text in events)

    named = ((event.second, "_" if event.text.startswith("_") else event.text) for event in phonemes)
    return placed(named), placed((event.second, event.text) for event in words)
