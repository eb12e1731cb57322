"""The calls of the evaluation sets: who asks what, in which voice, and when."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from coda_demo_model.background import music, noise
from coda_demo_model.callers import Call, call_by_espeak, call_by_flite
from coda_demo_model.evaluation_sets import CallerVoices, load_sets
from coda_demo_model.script import load_script
from coda_demo_model.voice import FRAME, SAMPLE_RATE_HZ

__all__ = [
    "heard",
    "injected_sentences",
    "quiet_sounds",
    "trained_calls",
    "unseen_calls",
    "validation_calls",
]

_LEAD_S = 0.5
_FAINT = 1e-4


def trained_calls() -> list[Call]:
    """Return calls with phrasings of the corpus in voices that are not."""
    sets = load_sets()
    return _calls(sets.callers, _phrasings(sets.trained_phrasings, sets.seed), sets.seed)


def validation_calls() -> list[Call]:
    """Return calls by which checkpoints may be chosen."""
    sets = load_sets()
    return _calls(sets.validation, _phrasings(sets.validation_calls, sets.seed + 1), sets.seed + 1)


def unseen_calls() -> list[Call]:
    """Return calls with phrasings that are not in the corpus, in voices that are not."""
    sets = load_sets()
    asked = [(intent, text) for intent, texts in sets.unseen_phrasings.items() for text in texts]
    return _calls(sets.callers, asked, sets.seed + 2)


def injected_sentences() -> list[str]:
    """Return sentences of the vocabulary that mean nothing."""
    sets = load_sets()
    bits = np.random.default_rng(sets.seed + 3)
    words = load_script().vocabulary
    return [
        " ".join(words[int(index)] for index in bits.choice(len(words), sets.injected_words, replace=False))
        for _ in range(sets.injected_sentences)
    ]


def quiet_sounds() -> dict[str, npt.NDArray[np.float32]]:
    """Return by name what is heard when nobody speaks."""
    sets = load_sets()
    bits = np.random.default_rng(sets.seed + 4)
    samples = sets.quiet_seconds * SAMPLE_RATE_HZ
    sounds = {
        f"{colour} noise at rms {rms:g}" if rms else "silence": noise(samples, colour, rms, bits)
        for colour in sets.noise_colours
        for rms in sets.noise_rms
    }
    return sounds | {f"music at rms {rms:g}": music(samples, rms, bits) for rms in sets.music_rms}


def heard(calls: Sequence[Call], seconds: float) -> npt.NDArray[np.float32]:
    """Return audio [B, n] in which each call comes after half a second, with faint noise around it."""
    samples = int(seconds * SAMPLE_RATE_HZ) // FRAME * FRAME
    bits = np.random.default_rng(0)
    audio = (_FAINT * bits.standard_normal((len(calls), samples))).astype(np.float32)
    begin = int(_LEAD_S * SAMPLE_RATE_HZ)
    for row, call in zip(audio, calls, strict=True):
        row[begin : begin + len(call.audio)] += call.audio.astype(np.float32) / 32767
    return audio


def _phrasings(count: int, seed: int) -> list[tuple[str, str]]:
    """Return intents in turn, each with a drawn phrasing."""
    bits = np.random.default_rng(seed)
    intents = load_script().intents
    chosen = [intents[number % len(intents)] for number in range(count)]
    return [(intent.name, str(bits.choice(intent.phrasings))) for intent in chosen]


def _calls(voices: CallerVoices, asked: Sequence[tuple[str, str]], seed: int) -> list[Call]:
    """Return the calls, every second of them by flite."""
    bits = np.random.default_rng(seed + 100)
    calls: list[Call] = []
    for number, (intent, text) in enumerate(asked):
        # By intents and engines in turn, every intent would always be asked by the same engine.
        if (number + number // len(load_script().intents)) % 2:
            calls.append(call_by_flite(intent, text, str(bits.choice(voices.flite)), bits))
        else:
            calls.append(call_by_espeak(intent, text, str(bits.choice(voices.espeak)), bits))
    return calls
