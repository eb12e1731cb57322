"""What the model's own choice of a text token says about beginnings."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from coda_core.text import Vocabulary
from coda_moshi.injection_rule import InjectionRule

__all__ = ["Wish", "wishes"]


class Wish(IntEnum):
    """What a model would do in a frame, were it left alone."""

    NOTHING = 0
    """Padding, or go on with a word."""
    ANNOUNCE = 1
    """Say that a word begins in the next frame."""
    BEGIN = 2
    """Begin a word."""


def wishes(vocabulary: Vocabulary, tokens: int, rule: InjectionRule) -> NDArray[np.int64]:
    """Return the `Wish` that each of so many text tokens stands for, ``[tokens]``."""
    found = np.full(tokens, Wish.NOTHING, np.int64)
    not_onsets = {piece.encode() for piece in rule.not_onsets}
    for token in vocabulary.word_starts:
        if vocabulary.is_text(token) and vocabulary.pieces[token] not in not_onsets:
            found[token] = Wish.BEGIN
    found[vocabulary.end_of_padding] = Wish.ANNOUNCE
    return found
