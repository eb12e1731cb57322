"""Making the model say given sentences: words are forced into its text when they are due."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch

from coda_demo_model.architecture import END_OF_PADDING, PADDING
from coda_demo_model.export import INJECTION
from coda_demo_model.script import load_script
from coda_demo_model.tokenizer import STOP, load_tokenizer, word_tokens

__all__ = ["Injector"]


class Injector:
    """A text hook that makes each conversation of a batch say a sentence, and nothing else.

    When the model would begin a word, or announce one, end-of-padding is written and the next word of the sentence in
    the frame after it; also when it has waited for `gap_frames`. The ending follows the last word's token.
    """

    def __init__(self, sentences: Sequence[str], begin: int) -> None:
        self._rows = [_Row(word_tokens(sentence), begin) for sentence in sentences]

    def __call__(self, tokens: torch.Tensor) -> None:
        """Replace the tokens [B] of a step."""
        for place, row in enumerate(self._rows):
            tokens[place] = row.token(int(tokens[place]))


@cache
def _onsets() -> frozenset[int]:
    """Return the tokens by which the model shows that it would begin a word."""
    return frozenset((END_OF_PADDING, *word_tokens(" ".join(load_script().vocabulary))))


class _Row:
    def __init__(self, words: list[int], begin: int) -> None:
        self._words = words
        self._wait = begin
        self._due = False
        self._since = 0
        self._stop = load_tokenizer().piece_to_id(STOP)
        self._onsets = _onsets()
        self._stopping = False

    def token(self, predicted: int) -> int:
        if self._wait:
            self._wait -= 1
            self._due = self._wait == 0
            return END_OF_PADDING if self._due else PADDING
        self._since += 1
        if self._stopping:
            self._stopping = False
            return self._stop
        if not self._words:
            return PADDING
        if self._due:
            self._due, self._since = False, 0
            word = self._words.pop(0)
            self._stopping = not self._words
            return word
        self._due = predicted in self._onsets or self._since >= INJECTION["gap_frames"]
        return END_OF_PADDING if self._due else PADDING
