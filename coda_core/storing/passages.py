"""What was said, gathered word by word into passages: what is searched and what outlives the events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final, Self

import attrs

from coda_core.state import Passage, PassageWord
from coda_core.text import ExtractedText, Speaker

__all__ = ["Draft", "gather"]

PAUSE_S: Final = 2.0
"""Silence after which a new passage begins."""
LENGTH: Final = 50
"""Words of a passage."""


@attrs.define(kw_only=True, eq=False)
class Draft:
    """A passage that may still grow."""

    extractor: str
    speaker: Speaker
    start_s: float
    end_s: float
    time_s: float
    first_sequence: int
    """Number of the event of its first word."""
    last_sequence: int
    words: list[PassageWord] = attrs.field(factory=list)
    complete: bool = False

    @classmethod
    def of(cls, text: ExtractedText) -> Self:
        """Return a passage that begins with `text`, and does not hold it yet."""
        return cls(
            extractor=text.extractor,
            speaker=text.speaker,
            start_s=text.start_s,
            end_s=text.start_s,
            time_s=text.time_s,
            first_sequence=text.sequence,
            last_sequence=text.sequence,
        )

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @property
    def words_json(self) -> str:
        words = [(word.start_s, word.end_s, word.confidence, word.text) for word in self.words]
        return json.dumps(words, ensure_ascii=False)

    def add(self, text: ExtractedText) -> None:
        self.words.append(PassageWord(text.start_s, text.end_s, text.confidence, text.text))
        self.end_s = max(self.end_s, text.end_s)
        self.last_sequence = text.sequence

    def takes(self, text: ExtractedText) -> bool:
        """Return whether `text` goes on with this passage."""
        return len(self.words) < LENGTH and text.start_s - self.end_s <= PAUSE_S

    def passage(self, conversation: str) -> Passage:
        return Passage(
            conversation=conversation,
            speaker=self.speaker,
            extractor=self.extractor,
            start_s=self.start_s,
            end_s=self.end_s,
            time_s=self.time_s,
            words=tuple(self.words),
        )


def gather(growing: Iterable[Draft], texts: Sequence[ExtractedText], *, over: bool) -> list[Draft]:
    """Return the passages that `texts` change or begin, in the order in which they began.

    `growing` are those that are not complete, one at most of each extractor and speaker. Where the conversation is
    `over`, all are complete.
    """
    latest = {(draft.extractor, draft.speaker): draft for draft in growing}
    changed: dict[Draft, None] = {}
    for text in texts:
        key = (text.extractor, text.speaker)
        draft = latest.get(key)
        if draft is None or not draft.takes(text):
            if draft is not None:
                draft.complete = True
                changed[draft] = None
            draft = latest[key] = Draft.of(text)
        draft.add(text)
        changed[draft] = None
    now_s = max((text.start_s for text in texts), default=0.0)
    for draft in latest.values():
        if over or now_s - draft.end_s > PAUSE_S:
            draft.complete = True
            changed[draft] = None
    return list(changed)
