"""Phrases out of words: up to the end of a sentence, a pause, or as many words as one phrase may hold."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Final

from coda_moshi.words import Word

__all__ = ["PhraseBuilder", "joined_text"]

_SENTENCE_ENDS: Final = frozenset(".!?…。！？")
_AFTER_SENTENCE_END: Final = "\"'’”»)]"


def joined_text(words: tuple[Word, ...]) -> str:
    """Return the words as running text."""
    rest = "".join(word.text if word.continues else f" {word.text}" for word in words[1:])
    return words[0].text + rest


class PhraseBuilder:
    """Collects the words of one conversation to phrases."""

    def __init__(self, pause_frames: int, most_words: int) -> None:
        self._pause_frames = pause_frames
        self._most_words = most_words
        self._words: list[Word] = []

    @property
    def injected(self) -> bool | None:
        """Whether the phrase under construction is no choice of the model's; None where there is none."""
        return self._words[-1].injected if self._words else None

    @property
    def ends_at(self) -> int:
        """The frame with which the phrase ends, if no word comes before; never where there is none."""
        return self._words[-1].last_frame + self._pause_frames if self._words else sys.maxsize

    def restore(self, words: Iterable[Word]) -> None:
        """Go on with these words, as `peek` returned them."""
        self._words = list(words)

    def add(self, word: Word) -> tuple[Word, ...]:
        """Take a word; return the phrase that is complete by it, or nothing."""
        self._words.append(word)
        ends_sentence = word.text.rstrip(_AFTER_SENTENCE_END)[-1:] in _SENTENCE_ENDS
        return self.finish() if ends_sentence or len(self._words) >= self._most_words else ()

    def wait(self, frame: int) -> tuple[Word, ...]:
        """Note that no word is under construction in `frame`; return the phrase that ends by this pause, or nothing."""
        paused = self._words and frame - self._words[-1].last_frame >= self._pause_frames
        return self.finish() if paused else ()

    def finish(self) -> tuple[Word, ...]:
        """Return the phrase as it stands and forget it; empty where there is none."""
        words = self.peek()
        self._words.clear()
        return words

    def peek(self) -> tuple[Word, ...]:
        """Return the phrase as it stands, and go on with it."""
        return tuple(self._words)
