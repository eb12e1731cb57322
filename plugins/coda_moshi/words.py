"""Words out of Moshi's text stream, one token a frame.

In that stream the pieces of a word stand in consecutive frames from the word's onset on; padding fills the time
until the next word, and an end-of-padding token may announce it one frame ahead. A model does not always keep to
this: padding can fall between the pieces of a word, and a character can be spread over several byte pieces.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from coda_core.text import Vocabulary

__all__ = ["Word", "WordAssembler", "combined_confidence"]

_MOST_PIECES: Final = 64
"""No word needs five seconds of unbroken pieces: beyond this a word is cut, so that memory is bounded."""
_CLOSING_PUNCTUATION: Final = frozenset(".,!?;:…)]}»”。、，！？；：")
_LEAST_PROBABILITY: Final = 1e-30


@attrs.frozen
class Word:
    """A complete word and where it lies on the step clock."""

    text: str
    """Never empty and without white space at its ends; bytes that are no UTF-8 became U+FFFD."""
    tokens: tuple[int, ...]
    first_frame: int
    """The frame of the first piece."""
    last_frame: int
    """The frame of the last piece; the voice may need some frames more to finish the word."""
    log_probability: float
    """Sum of the natural logarithms of the probabilities of `tokens`."""
    continues: bool
    """True where no space belongs between the text before and this: it goes on with a word that was already
    complete as far as could be known, or is punctuation."""
    injected: bool = False
    """Whether it was no choice of the model's; of its pieces, closing punctuation may have been."""


def combined_confidence(words: Sequence[Word]) -> float:
    """Return the geometric mean of the probabilities of all tokens of `words`, 0 to 1."""
    tokens = sum([len(word.tokens) for word in words])
    return math.exp(math.fsum([word.log_probability for word in words]) / tokens)


class WordAssembler:
    """Joins the tokens of one conversation to words.

    A word begins with a piece of `Vocabulary.word_starts` (marked closing punctuation excepted: it belongs to the
    word before) and takes every further piece, also over padding in between. It is complete with the next such
    beginning, with end-of-padding, or in the `settle_frames`-th frame without text after its last piece, whichever
    is first; in the middle of a character only a beginning ends it. A piece without the mark where no word is under
    construction begins one that `Word.continues` the text before; so does one that was the model's own choice behind
    one that was not, or the other way round, for a word is either the model's own or it is not.
    """

    def __init__(self, vocabulary: Vocabulary, settle_frames: int) -> None:
        self._vocabulary = vocabulary
        self._settle_frames = settle_frames
        self._bytes = bytearray()
        self._tokens: list[int] = []
        self._first_frame = 0
        self._last_frame = 0
        self._log_probability = 0.0
        self._parted = False
        self._injected = False

    @property
    def building(self) -> bool:
        """True while a word is under construction."""
        return bool(self._tokens)

    @property
    def settles_at(self) -> int:
        """The frame with which the word under construction is complete, if no text comes before."""
        return self._last_frame + self._settle_frames

    def feed(self, frame: int, token: int, probability: float, injected: bool = False) -> Word | None:
        """Take the token of `frame`, frames in rising order; return the word that is complete by it.

        `injected` tells that the token was no choice of the model's.
        """
        if self._vocabulary.is_text(token):
            begins = self._starts_word(token) or self._changes_hands(token, injected) or self._is_too_long()
            finished = self.finish() if begins else None
            self._append(frame, token, probability, injected)
            return finished
        announced = token == self._vocabulary.end_of_padding
        settled = frame - self._last_frame >= self._settle_frames
        if self._tokens and (announced or settled) and not self._is_inside_character():
            return self.finish()
        return None

    def finish(self) -> Word | None:
        """Return the word under construction as it stands and forget it; None where there is no text."""
        text = self._decoded()
        word = self._word(text)
        self._bytes.clear()
        self._tokens.clear()
        self._log_probability = 0.0
        # White space, or a bare mark without text, still parts what follows from the word before.
        self._parted = text[-1:].isspace() or (self._parted and word is None)
        return word

    def peek(self) -> Word | None:
        """Return the word under construction as it stands, and go on with it."""
        return self._word(self._decoded())

    def _word(self, text: str) -> Word | None:
        said = text.strip()
        if not said:
            return None
        return Word(
            text=said,
            tokens=tuple(self._tokens),
            first_frame=self._first_frame,
            last_frame=self._last_frame,
            log_probability=self._log_probability,
            continues=not (self._parted or text[0].isspace()) or _is_closing_punctuation(said),
            injected=self._injected,
        )

    def export(self) -> dict[str, Any]:
        """Return what `restore` takes, in types that JSON has."""
        return {
            "bytes": self._bytes.hex(),
            "tokens": self._tokens,
            "first_frame": self._first_frame,
            "last_frame": self._last_frame,
            "log_probability": self._log_probability,
            "parted": self._parted,
            "injected": self._injected,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `export` left off; raises LookupError, TypeError or ValueError for anything else."""
        self._bytes = bytearray.fromhex(state["bytes"])
        self._tokens = [int(token) for token in state["tokens"]]
        self._first_frame, self._last_frame = int(state["first_frame"]), int(state["last_frame"])
        self._log_probability = float(state["log_probability"])
        self._parted, self._injected = bool(state["parted"]), bool(state["injected"])

    def _append(self, frame: int, token: int, probability: float, injected: bool) -> None:
        if not self._tokens:
            self._first_frame = frame
            self._injected = injected
            self._parted = self._parted or token in self._vocabulary.word_starts
        self._bytes += self._vocabulary.pieces[token]
        self._tokens.append(token)
        self._last_frame = frame
        # A probability that is no number counts as none at all: max and min let NaN lose here.
        self._log_probability += math.log(min(1.0, max(_LEAST_PROBABILITY, probability)))

    def _decoded(self) -> str:
        return self._bytes.decode("utf-8", errors="replace")

    def _starts_word(self, token: int) -> bool:
        if token not in self._vocabulary.word_starts:
            return False
        text = self._vocabulary.pieces[token].decode("utf-8", errors="replace")
        return not _is_closing_punctuation(text)

    def _changes_hands(self, token: int, injected: bool) -> bool:
        """Return whether the word so far was chosen by the model and `token` not, or the other way round."""
        if not self._tokens or injected == self._injected:
            return False
        return not _is_closing_punctuation(self._vocabulary.pieces[token].decode("utf-8", errors="replace"))

    def _is_too_long(self) -> bool:
        # A character has at most four bytes, so three pieces more always reach the end of a sound one.
        count = len(self._tokens)
        return count >= _MOST_PIECES and (not self._is_inside_character() or count >= _MOST_PIECES + 3)

    def _is_inside_character(self) -> bool:
        _, used = codecs.utf_8_decode(bytes(self._bytes), "replace", False)
        return used < len(self._bytes)


def _is_closing_punctuation(text: str) -> bool:
    return bool(text) and _CLOSING_PUNCTUATION.issuperset(text)
