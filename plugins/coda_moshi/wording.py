"""Text as a checkpoint's pieces: what is asked for, before any of it reaches a model."""

from __future__ import annotations

from typing import Final

import sentencepiece

from coda_core.errors import ConversationError
from coda_moshi.injection_rule import InjectionRule

__all__ = ["Wording"]

_MOST_PIECES: Final = 1000
"""A text takes at least a frame for each: eighty seconds. Whoever wants more says it in parts."""
_MOST_CHARACTERS: Final = 50_000


class Wording:
    """Turns text into pieces of a tokenizer. All methods raise `ConversationError` for text that has none."""

    def __init__(self, tokenizer: sentencepiece.SentencePieceProcessor, rule: InjectionRule) -> None:
        self._tokenizer = tokenizer
        self._ending = rule.ending

    def spoken(self, text: str) -> tuple[tuple[int, ...], ...]:
        """Return the pieces of each word of a text that is to be spoken, with the ending of the checkpoint's rule."""
        words = text.split()
        if words and self._ending and words[-1][-1].isalnum():
            words[-1] += self._ending
        # Word by word, as text is aligned with speech in training.
        found = tuple(tuple(pieces) for pieces in (self._pieces(word) for word in self._checked(words, text)) if pieces)
        return self._bounded(found, text)

    def written(self, text: str) -> tuple[int, ...]:
        """Return the pieces of a text that is taken in as it stands."""
        self._checked(text.split(), text)
        pieces = tuple(self._pieces(text))
        self._bounded((pieces,), text)
        return pieces

    def _checked(self, words: list[str], text: str) -> list[str]:
        if not words:
            raise ConversationError("the text is empty: give at least a word")
        if len(text) > _MOST_CHARACTERS:
            raise ConversationError(
                f"the text has {len(text)} characters; {_MOST_CHARACTERS} are allowed. Give it in parts."
            )
        return words

    def _pieces(self, text: str) -> list[int]:
        try:
            pieces: list[int] = self._tokenizer.encode(text)
        except (UnicodeEncodeError, RuntimeError) as error:
            raise ConversationError("the text is no valid Unicode: half a surrogate pair is no character") from error
        for piece in pieces:
            if self._tokenizer.is_unknown(piece) or self._tokenizer.is_control(piece):
                strange = sorted({one for one in text if self._is_strange(one)})
                named = " ".join(repr(one) for one in strange[:10]) or repr(text[:40])
                raise ConversationError(f"this checkpoint's tokenizer has no pieces for {named}: say it in other words")
        return pieces

    def _is_strange(self, character: str) -> bool:
        return any(self._tokenizer.is_unknown(piece) for piece in self._tokenizer.encode(character))

    def _bounded(self, words: tuple[tuple[int, ...], ...], text: str) -> tuple[tuple[int, ...], ...]:
        pieces = sum(len(word) for word in words)
        if not pieces:
            raise ConversationError(f"the text {text[:40]!r} has nothing that can be spoken: give at least a word")
        if pieces > _MOST_PIECES:
            raise ConversationError(
                f"the text has {pieces} pieces of this checkpoint's tokenizer; {_MOST_PIECES} are allowed. "
                "Give it in parts."
            )
        return words
