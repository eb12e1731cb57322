"""Extractor `inner-monologue`: Moshi's own text stream as words or phrases with times and confidence."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from coda_core.errors import ConversationClosed
from coda_core.interfaces import Context, ProcessorInfo, StepRecord
from coda_core.text import ExtractedText
from coda_moshi.config import InnerMonologueConfig
from coda_moshi.phrases import PhraseBuilder, joined_text
from coda_moshi.words import Word, WordAssembler, combined_confidence

__all__ = ["InnerMonologue", "open_inner_monologue"]


class InnerMonologue:
    """Turns each conversation's tokens into `ExtractedText` of Moshi.

    A word lasts from the start of the frame of its first piece to the end of the frame of its last piece; a phrase
    from its first word to its last. When a word is complete is `WordAssembler`'s to say. The confidence is the
    geometric mean of the probabilities of all of the text's tokens. Over records that this follower missed,
    nothing is joined: a word or phrase ends at the gap.
    """

    def __init__(self, config: InnerMonologueConfig, logger: logging.Logger) -> None:
        self._config = config
        self._logger = logger
        self._transcripts: dict[str, _Transcript] = {}

    def open(self, conversation: str, info: ProcessorInfo) -> None:
        self._transcripts[conversation] = _Transcript(conversation, info, self._config)

    def feed(self, step: Sequence[StepRecord]) -> Sequence[ExtractedText]:
        found: list[ExtractedText] = []
        for record in step:
            found += self._transcripts[record.conversation].feed(record)
        return () if self._config.mode == "on-demand" else found

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
        self._conversation = conversation
        self._config = config
        self._frame_s = info.frame_s
        self._now_s = 0.0
        self._words = WordAssembler(info.vocabulary, config.settle_frames)
        self._phrases = PhraseBuilder(max(1, round(config.pause_seconds / info.frame_s)), config.phrase_words)
        self._retained: deque[ExtractedText] = deque(maxlen=config.retention_words)

    def feed(self, record: StepRecord) -> list[ExtractedText]:
        found = self.finish() if record.missed_before else []
        word = self._words.feed(record.frame, record.token, record.probability)
        self._now_s = (record.frame + 1) * self._frame_s
        found += self._take(word)
        if not self._words.building:
            found += self._deliver(self._phrases.wait(record.frame))
        while self._retained and self._retained[0].end_s < self._now_s - self._config.retention_seconds:
            self._retained.popleft()
        return found

    def finish(self) -> list[ExtractedText]:
        """End the word and the phrase under construction."""
        return self._take(self._words.finish()) + self._deliver(self._phrases.finish())

    def text(self, last_s: float) -> Sequence[ExtractedText]:
        word = self._words.peek()
        unfinished = self._phrases.peek() + ((word,) if word else ())
        latest = [self._extracted(unfinished)] if unfinished else []
        return [
            item
            for item in (*self._retained, *latest)
            if item.end_s >= self._now_s - last_s and item.confidence >= self._config.confidence_threshold
        ]

    def _take(self, word: Word | None) -> list[ExtractedText]:
        if word is None:
            return []
        return self._deliver(self._phrases.add(word) if self._config.mode == "buffered" else (word,))

    def _deliver(self, words: tuple[Word, ...]) -> list[ExtractedText]:
        if not words:
            return []
        item = self._extracted(words)
        if item.confidence < self._config.confidence_threshold:
            self.withheld += 1
            return []
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
            tokens=tuple(token for word in words for token in word.tokens),
        )


@asynccontextmanager
async def open_inner_monologue(config: InnerMonologueConfig, context: Context) -> AsyncIterator[InnerMonologue]:
    """Make the extractor; nothing has to be given back."""
    yield InnerMonologue(config, context.logger)
