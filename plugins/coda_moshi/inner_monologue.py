"""Extractor `inner-monologue`: Moshi's own text stream as words or phrases with times and confidence."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import repeat
from typing import Any

import attrs

from coda_core.errors import ConversationClosed, StoreError
from coda_core.interfaces import Context, ProcessorInfo, StepRecords
from coda_core.text import ExtractedText, Vocabulary
from coda_moshi.config import InnerMonologueConfig
from coda_moshi.phrases import PhraseBuilder, joined_text
from coda_moshi.words import Word, WordAssembler, combined_confidence

__all__ = ["InnerMonologue", "open_inner_monologue"]


class InnerMonologue:
    """Turns each conversation's tokens into `ExtractedText` of Moshi.

    A word lasts from the start of the frame of its first piece to the end of the frame of its last piece; a phrase
    from its first word to its last. When a word is complete is `WordAssembler`'s to say. The confidence is the
    geometric mean of the probabilities of all of the text's tokens. Over records that this follower missed,
    nothing is joined: a word or phrase ends at the gap. Text that the model was made to say is marked, stands in no
    phrase with its own, and is never withheld: its confidence only tells how little the model expected it.
    """

    def __init__(self, config: InnerMonologueConfig, logger: logging.Logger) -> None:
        self._config = config
        self._logger = logger
        self._vocabulary: Vocabulary
        """Of the one processor there is; set when the first conversation is opened."""
        self._transcripts: dict[str, _Transcript] = {}

    def open(self, conversation: str, info: ProcessorInfo, state: bytes | None = None) -> None:
        """A conversation begins or goes on; raises `StoreError` for a state that `export` did not return."""
        self._vocabulary = info.vocabulary
        transcript = _Transcript(conversation, info, self._config)
        if state is not None:
            try:
                transcript.restore(json.loads(state))
            except (LookupError, TypeError, ValueError) as error:
                raise StoreError(f"the parked text of conversation {conversation} is damaged: {error!r}") from error
        self._transcripts[conversation] = transcript

    def feed(self, step: StepRecords) -> Sequence[ExtractedText]:
        found: list[ExtractedText] = []
        vocabulary = self._vocabulary
        telling = vocabulary.are_text(step.token) | (step.token == vocabulary.end_of_padding)
        rows = zip(
            step.conversation,
            step.frame.tolist(),
            telling.tolist(),
            step.token.tolist(),
            step.probability.tolist(),
            repeat(False) if step.injected is None else step.injected.tolist(),
            repeat(0) if step.missed_before is None else step.missed_before.tolist(),
            strict=False,
        )
        for conversation, frame, tells, token, probability, injected, missed in rows:
            transcript = self._transcripts[conversation]
            transcript.frames = frame + 1
            # Most tokens are padding: they are looked at where a word or a phrase has waited long enough.
            if tells or missed or frame >= transcript.due:
                found += transcript.feed(frame, token, probability, injected, missed)
        return () if self._config.mode == "on-demand" else found

    def export(self, conversation: str) -> bytes:
        return json.dumps(self._transcripts[conversation].export(), separators=(",", ":")).encode()

    def close(self, conversation: str) -> Sequence[ExtractedText]:
        transcript = self._transcripts.pop(conversation)
        found = transcript.finish()
        if transcript.withheld:
            self._logger.info(
                "conversation %s: %d texts had a confidence below %g and were withheld",
                conversation,
                transcript.withheld,
                self._config.confidence_threshold,
            )
        return () if self._config.mode == "on-demand" else found

    def text(self, conversation: str, last_s: float) -> Sequence[ExtractedText]:
        """Return the retained text that ends within the last `last_s` seconds, the latest as far as it is known.

        Raises `ConversationClosed` for a conversation that is not open.
        """
        transcript = self._transcripts.get(conversation)
        if transcript is None:
            raise ConversationClosed(
                f"conversation {conversation} is not open: ask for its text before it is closed, "
                "or read it from the state store"
            )
        return transcript.text(last_s)


class _Transcript:
    """What was said in one conversation."""

    def __init__(self, conversation: str, info: ProcessorInfo, config: InnerMonologueConfig) -> None:
        self.withheld = 0
        self.frames = 0
        """Steps so far, also those that `feed` was not called for."""
        self.due = 0
        """Index of the frame that `feed` must be called for even where it brings padding, and of all after it."""
        self._conversation = conversation
        self._config = config
        self._frame_s = info.frame_s
        self._words = WordAssembler(info.vocabulary, config.settle_frames)
        self._phrases = PhraseBuilder(max(1, round(config.pause_seconds / info.frame_s)), config.phrase_words)
        self._retained: deque[ExtractedText] = deque(maxlen=config.retention_words)

    def feed(self, frame: int, token: int, probability: float, injected: bool, missed: int) -> list[ExtractedText]:
        found = self.finish() if missed else []
        found += self._take(self._words.feed(frame, token, probability, injected))
        if not self._words.building:
            found += self._deliver(self._phrases.wait(frame))
        self.due = self._words.settles_at if self._words.building else self._phrases.ends_at
        return found

    def finish(self) -> list[ExtractedText]:
        """End the word and the phrase under construction."""
        return self._take(self._words.finish()) + self._deliver(self._phrases.finish())

    def text(self, last_s: float) -> Sequence[ExtractedText]:
        self._forget()
        word, phrase = self._words.peek(), self._phrases.peek()
        if word and phrase and word.injected == phrase[-1].injected:
            unfinished = [(*phrase, word)]
        else:
            unfinished = [part for part in (phrase, (word,) if word else ()) if part]
        latest = [self._extracted(part) for part in unfinished]
        return [
            item for item in (*self._retained, *latest) if item.end_s >= self._now_s - last_s and self._is_sure(item)
        ]

    @property
    def _now_s(self) -> float:
        return self.frames * self._frame_s

    def _forget(self) -> None:
        """Drop retained text that is too old."""
        while self._retained and self._retained[0].end_s < self._now_s - self._config.retention_seconds:
            self._retained.popleft()

    def _is_sure(self, item: ExtractedText) -> bool:
        return item.injected or item.confidence >= self._config.confidence_threshold

    def export(self) -> dict[str, Any]:
        """Return what `restore` takes, in types that JSON has."""
        self._forget()
        return {
            "now_s": self._now_s,
            "withheld": self.withheld,
            "words": self._words.export(),
            "phrase": [attrs.asdict(word) for word in self._phrases.peek()],
            "retained": [attrs.asdict(item) for item in self._retained],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `export` left off; raises LookupError, TypeError or ValueError for anything else."""
        self.frames, self.withheld = round(float(state["now_s"]) / self._frame_s), int(state["withheld"])
        self._words.restore(state["words"])
        self._phrases.restore(Word(**{**word, "tokens": tuple(word["tokens"])}) for word in state["phrase"])
        self._retained.extend(ExtractedText(**{**item, "tokens": tuple(item["tokens"])}) for item in state["retained"])

    def _take(self, word: Word | None) -> list[ExtractedText]:
        if word is None:
            return []
        if self._config.mode != "buffered":
            return self._deliver((word,))
        parted = self._phrases.injected not in (None, word.injected)
        before = self._deliver(self._phrases.finish()) if parted else []
        return before + self._deliver(self._phrases.add(word))

    def _deliver(self, words: tuple[Word, ...]) -> list[ExtractedText]:
        if not words:
            return []
        item = self._extracted(words)
        if not self._is_sure(item):
            self.withheld += 1
            return []
        self._forget()
        self._retained.append(item)
        return [item]

    def _extracted(self, words: tuple[Word, ...]) -> ExtractedText:
        first = words[0].first_frame
        return ExtractedText(
            conversation=self._conversation,
            frame=first,
            text=joined_text(words),
            start_s=first * self._frame_s,
            end_s=(words[-1].last_frame + 1) * self._frame_s,
            confidence=combined_confidence(words),
            speaker="moshi",
            unit="phrase" if self._config.mode == "buffered" else "word",
            tokens=tuple([token for word in words for token in word.tokens]),
            injected=words[0].injected,
        )


@asynccontextmanager
async def open_inner_monologue(config: InnerMonologueConfig, context: Context) -> AsyncIterator[InnerMonologue]:
    """Make the extractor; nothing has to be given back."""
    yield InnerMonologue(config, context.logger)
