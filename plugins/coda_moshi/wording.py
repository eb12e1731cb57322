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
_WORDS_NAMED: Final = 10


class Wording:
    """Turns text into pieces of a tokenizer. All methods raise `ConversationError` for text that has none."""

    def __init__(self, tokenizer: sentencepiece.SentencePieceProcessor, rule: InjectionRule) -> None:
        self._tokenizer = tokenizer
        self._rule = rule
        self._silent = str.maketrans(dict.fromkeys(rule.left_out, " "))

    def spoken(self, text: str) -> tuple[tuple[int, ...], ...]:
        """Return the pieces of each word of a text that is to be spoken, written as the checkpoint's rule has it."""
        words = self._checked(self._in_its_spelling(text).split(), text)
        if self._rule.whole_words:
            self._refuse_spelt(words)
        if words[-1][-1].isalnum():
            words[-1] += self._rule.ending
        # Word by word, as text is aligned with speech in training.
        found = tuple(tuple(pieces) for pieces in map(self._pieces, words) if pieces)
        return self._bounded(found, text)

    def written(self, text: str) -> tuple[int, ...]:
        """Return the pieces of a text that is taken in as it stands."""
        self._checked(text.split(), text)
        pieces = tuple(self._pieces(text))
        self._bounded((pieces,), text)
        return pieces

    def _in_its_spelling(self, text: str) -> str:
        return (text.lower() if self._rule.lower_case else text).translate(self._silent)

    def _refuse_spelt(self, words: list[str]) -> None:
        unknown = list(dict.fromkeys(word for word in words if len(self._pieces(word)) != 1))
        if unknown:
            more = f" and {len(unknown) - _WORDS_NAMED} more" if len(unknown) > _WORDS_NAMED else ""
            named = ", ".join(unknown[:_WORDS_NAMED]) + more
            raise ConversationError(f"this checkpoint never learnt to say {named}: give a text of words that it knows")

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
