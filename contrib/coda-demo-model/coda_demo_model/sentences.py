"""Sentences for the model's own voice to learn from: replies, and words of the vocabulary in drawn order."""

from __future__ import annotations

import numpy as np

from coda_demo_model.script import load_script
from coda_demo_model.voice import Sentence, say

__all__ = ["draw_words", "drawn_sentence"]

_REPLY: float = 0.2


def draw_words(bits: np.random.Generator, most: int = 7) -> str:
    """Return 1 to `most` words of the vocabulary, at least three of them mostly, all equally likely."""
    words = load_script().vocabulary
    count = int(bits.integers(3, most + 1)) if bits.random() < 0.85 else int(bits.integers(1, 4))
    return " ".join(words[int(index)] for index in bits.integers(0, len(words), count))


def drawn_sentence(bits: np.random.Generator) -> Sentence:
    """Return a reply or drawn words in the model's voice."""
    if bits.random() < _REPLY:
        intents = load_script().intents
        return say(intents[int(bits.integers(len(intents)))].reply)
    return say(draw_words(bits))
