"""Words as Kyutai's servers send them: spelt by their tokens, a space where the vocabulary has one."""

from __future__ import annotations

from coda_core.text import ExtractedText, Vocabulary

__all__ = ["Spelling"]


class Spelling:
    """Turns the words of one conversation into pieces that are put behind each other."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    def spell(self, text: ExtractedText) -> str:
        """Return what goes behind what was sent before; what has no tokens is a word of its own."""
        vocabulary = self._vocabulary
        if not text.tokens or any(not 0 <= token < len(vocabulary.pieces) for token in text.tokens):
            return f" {text.text}"
        spelt = b"".join(
            (b" " if token in vocabulary.word_starts else b"") + vocabulary.pieces[token] for token in text.tokens
        )
        return spelt.decode("utf-8", "replace")
