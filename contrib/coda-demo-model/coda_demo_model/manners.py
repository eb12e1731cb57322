"""What people say around a question: the same phrasing with a few words before or after it."""

from __future__ import annotations

from typing import Final

import numpy as np

from coda_demo_model.evaluation_sets import load_sets

__all__ = ["with_manners"]

_BEFORE: Final = (
    "please", "hello", "hey coda", "coda", "okay", "so", "well", "now", "excuse me", "and", "my friend",
    "can you tell me", "please tell me", "do you know", "i want to know", "i would like to know",
)  # fmt: skip
_AFTER: Final = ("please", "now", "today", "coda", "my friend", "then", "for me", "thank you")
_BEFORE_SHARE: Final = 0.2
_AFTER_SHARE: Final = 0.15


def with_manners(phrasing: str, bits: np.random.Generator) -> str:
    """Return a phrasing as it is or, in a third of all cases, with words around it, never one that judges."""
    text = phrasing
    if bits.random() < _BEFORE_SHARE:
        text = f"{bits.choice(_BEFORE)} {text}"
    if bits.random() < _AFTER_SHARE:
        text = f"{text} {bits.choice(_AFTER)}"
    judging = (other for texts in load_sets().unseen_phrasings.values() for other in texts)
    return phrasing if text in judging else text
