"""When a text that was asked for may be spoken: a rule that belongs to a checkpoint, as its training made it.

A model keeps its voice in step with its text: a word's pieces stand where its sound begins. Words are therefore
forced into the text at moments when the model itself would begin one. How it announces that, and what only looks
like it, is a habit of training, and so is how text is written. So ``config.json`` of a checkpoint may say it in its
table ``coda``::

    "coda": {"injection": {"not_onsets": ["."], "settle_frames": 2, "ending": "."}}

or, where the ``moshi`` package shall read that file as well, ``coda.json`` beside it: what the table holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Self

import attrs

from coda_core.errors import ModelError

__all__ = ["InjectionRule"]


@attrs.frozen(kw_only=True)
class InjectionRule:
    """How a checkpoint speaks a given text. The defaults are right for the released Moshi."""

    announce: bool = True
    """Whether end-of-padding stands before every word. False: only where the model itself put it there."""
    not_onsets: tuple[str, ...] = ()
    """Pieces, without the mark of a space, that begin no word although they stand where one could."""
    settle_frames: int = 0
    """Frames after a word's last piece in which nothing counts as a beginning."""
    gap_frames: int = 12
    """Frames of padding after a word's last piece, after which the next word of a text begins anyway."""
    ending: str = ""
    """What is put behind the last word of a text that ends with a letter or digit."""
    lower_case: bool = False
    """Whether it knows no capital letters: text is written without them."""
    left_out: str = ""
    """Characters that it has no sound for: text is written with spaces in their place."""
    whole_words: bool = False
    """Whether it says no words but those that are a single piece: texts with others are refused."""

    @classmethod
    def of_checkpoint(cls, config: Mapping[str, Any]) -> Self:
        """Return the rule of a loaded ``config.json``; raises `ModelError` where its ``coda.injection`` is none."""
        table = config.get("coda", {})
        written = table.get("injection", {}) if isinstance(table, Mapping) else None
        if not isinstance(written, Mapping):
            raise ModelError("the checkpoint's coda.injection is no table. Correct it, or leave it out.")
        known = attrs.fields_dict(cls)
        for name, value in written.items():
            if name not in known or not _FITS[name](value):
                expected = _EXPECTED.get(name, f"one of {', '.join(sorted(known))}")
                raise ModelError(f"the checkpoint's coda.injection.{name} is {value!r}; expected {expected}")
        given = dict(written)
        if "not_onsets" in given:
            given["not_onsets"] = tuple(given["not_onsets"])
        return cls(**given)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= 1000


_FITS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "announce": lambda value: isinstance(value, bool),
    "not_onsets": lambda value: isinstance(value, list) and all(isinstance(piece, str) for piece in value),
    "settle_frames": _is_count,
    "gap_frames": _is_count,
    "ending": lambda value: isinstance(value, str),
    "lower_case": lambda value: isinstance(value, bool),
    "left_out": lambda value: isinstance(value, str),
    "whole_words": lambda value: isinstance(value, bool),
}
_EXPECTED: Final = {
    "announce": "true or false",
    "not_onsets": "a list of pieces",
    "settle_frames": "a number of frames, 0 to 1000",
    "gap_frames": "a number of frames, 0 to 1000",
    "ending": "a text",
    "lower_case": "true or false",
    "left_out": "a text of the characters",
    "whole_words": "true or false",
}
