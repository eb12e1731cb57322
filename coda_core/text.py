"""Text that was found in a conversation, and the vocabulary that a processor's tokens are read with."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal

import attrs

from coda_core.events import Event

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ExtractedText", "Speaker", "TextUnit", "Vocabulary"]

Speaker = Literal["moshi", "caller"]
TextUnit = Literal["word", "phrase"]


@attrs.frozen(kw_only=True)
class ExtractedText(Event):
    """A word or phrase: an event of its conversation with start, end, confidence and who said it.

    Times are on the step clock (see `coda_core.audio.AudioFrame`): ``start_s`` is the start of the frame in which
    the text begins, ``end_s`` the end of the frame in which it ends. `frame` is the first frame's index.
    """

    type: ClassVar[str] = "text"

    text: str
    start_s: float
    end_s: float
    confidence: float
    """0 to 1; how it was combined over the text's tokens is the extractor's to say."""
    speaker: Speaker = "moshi"
    unit: TextUnit = "word"
    tokens: tuple[int, ...] = ()
    injected: bool = False
    """True where the text was not Moshi's own choice but was spoken on request."""
    extractor: str = ""
    """Label of the extractor in its stack; given by the kernel."""


@attrs.frozen
class Vocabulary:
    """What a processor's text tokens stand for.

    A token stands for raw UTF-8 bytes: byte-fallback pieces hold a part of a character, so bytes are joined
    before they are decoded.
    """

    pieces: tuple[bytes, ...]
    """Bytes of each token id, without the mark that says it begins a word."""
    word_starts: frozenset[int]
    """Ids whose piece begins a new word."""
    padding: int
    """Id that says nothing is being said."""
    end_of_padding: int
    """Id that says a word begins in the next frame."""
    silent: frozenset[int] = frozenset()
    """Further ids that stand for no text: start, end, unknown."""

    def is_text(self, token: int) -> bool:
        """True where `token` stands for text: not padding, not silent, and inside the vocabulary."""
        return (
            0 <= token < len(self.pieces)
            and token != self.padding
            and token != self.end_of_padding
            and token not in self.silent
        )

    def are_text(self, tokens: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return `is_text` of each of `tokens` ``[n]``."""
        # One place more at either end stands for all tokens outside of the vocabulary.
        found: NDArray[np.bool_] = self._is_text.take(tokens + 1, mode="clip")
        return found

    @cached_property
    def _is_text(self) -> NDArray[np.bool_]:
        import numpy as np

        return np.array([self.is_text(token) for token in range(-1, len(self.pieces) + 1)], np.bool_)
