"""The monologue extractor `example`. All of it runs on a thread of its own, behind the audio."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import attrs
from coda_core import Context, Event, ExtractedText
from coda_core.interfaces import ProcessorInfo, StepRecord

from coda_example.register import ExampleConfig


@attrs.define
class _Heard:
    """One conversation."""

    info: ProcessorInfo
    tokens: list[int] = attrs.field(factory=list)
    """Of the word that is being said."""
    probabilities: list[float] = attrs.field(factory=list)
    first_frame: int = 0
    last_frame: int = 0
    """Of that word."""
    end_s: float = 0.0
    """How far the conversation was heard."""
    reported: deque[ExtractedText] = attrs.field(factory=deque)


class Example:
    """Joins tokens to words, and reports those that are listened for."""

    def __init__(self, config: ExampleConfig) -> None:
        self._wanted = {word.casefold() for word in config.words}
        self._retention_s = config.retention_seconds
        self._heard: dict[str, _Heard] = {}

    def open(self, conversation: str, info: ProcessorInfo, state: bytes | None = None) -> None:
        heard = self._heard[conversation] = _Heard(info)
        if state is not None:  # it was parked, perhaps in another process
            held = json.loads(state)
            heard.tokens, heard.probabilities = held["tokens"], held["probabilities"]
            heard.first_frame, heard.last_frame = held["first_frame"], held["last_frame"]

    def feed(self, step: Sequence[StepRecord]) -> Sequence[Event]:
        """Take one step of all conversations; return what was found."""
        found: list[Event] = []
        for record in step:
            heard = self._heard[record.conversation]
            vocabulary = heard.info.vocabulary
            heard.end_s = (record.frame + 1) * heard.info.frame_s
            text = vocabulary.is_text(record.token)
            # A word is over when another begins, when nothing is said, and where records are missing in between.
            if record.token in vocabulary.word_starts or not text or record.missed_before:
                found += self._finish(record.conversation, heard)
            if text:
                heard.first_frame = heard.first_frame if heard.tokens else record.frame
                heard.last_frame = record.frame
                heard.tokens.append(record.token)
                heard.probabilities.append(record.probability)
        return found

    def text(self, conversation: str, last_s: float) -> Sequence[ExtractedText]:
        heard = self._heard[conversation]
        return [word for word in heard.reported if word.end_s > heard.end_s - last_s]

    def export(self, conversation: str) -> bytes:
        heard = self._heard[conversation]
        held = {
            "tokens": heard.tokens,
            "probabilities": heard.probabilities,
            "first_frame": heard.first_frame,
            "last_frame": heard.last_frame,
        }
        return json.dumps(held).encode()

    def close(self, conversation: str) -> Sequence[Event]:
        return self._finish(conversation, self._heard.pop(conversation))

    def _finish(self, conversation: str, heard: _Heard) -> list[ExtractedText]:
        """Return the word that is over, if there is one and it is listened for."""
        # Bytes are joined before they are decoded: a token may stand for a part of a character.
        pieces = heard.info.vocabulary.pieces
        spoken = b"".join(pieces[token] for token in heard.tokens).decode(errors="replace").strip()
        tokens, probabilities = tuple(heard.tokens), heard.probabilities
        heard.tokens, heard.probabilities = [], []
        if not spoken or (self._wanted and spoken.strip(".,;:!?\"'").casefold() not in self._wanted):
            return []
        word = ExtractedText(
            conversation=conversation,
            frame=heard.first_frame,
            text=spoken,
            start_s=heard.first_frame * heard.info.frame_s,
            end_s=(heard.last_frame + 1) * heard.info.frame_s,
            confidence=sum(probabilities) / len(probabilities),
            tokens=tokens,
        )
        heard.reported.append(word)
        while heard.reported and heard.reported[0].end_s < heard.end_s - self._retention_s:
            heard.reported.popleft()
        return [word]


@asynccontextmanager
async def open_example(config: ExampleConfig, context: Context) -> AsyncIterator[Example]:
    """What stands before `yield` opens, what stands after it closes."""
    yield Example(config)
