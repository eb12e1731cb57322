"""A conversation's words as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coda_core.cli.demo.session import Talk
    from coda_core.text import ExtractedText

__all__ = ["caller_entries", "spoken_texts", "transcript", "word_entries"]


def transcript(talk: Talk) -> dict[str, Any]:
    """Return ``transcript.json``. Times are in seconds on the clock of ``reply.wav`` and ``conversation.wav``."""
    return {
        "version": 1,
        "conversation": talk.conversation,
        "stack": talk.stack,
        "processor": talk.processor,
        "fingerprint": talk.fingerprint,
        "complete": talk.outcome == "finished",
        "duration_s": talk.audio_s,
        "caller": caller_entries(talk),
        "words": word_entries(talk.texts),
    }


def spoken_texts(texts: Sequence[ExtractedText]) -> Sequence[ExtractedText]:
    """Return what was said, in order: words, or phrases where the stack's extractor finds nothing smaller."""
    return [text for text in texts if text.unit == "word"] or texts


def caller_entries(talk: Talk) -> list[dict[str, Any]]:
    """Return what the caller says, where that is known beforehand; nobody has recognised it."""
    return [
        {"text": question.text, "start_s": question.start_s, "end_s": question.end_s} for question in talk.questions
    ]


def word_entries(texts: Sequence[ExtractedText]) -> list[dict[str, Any]]:
    """Return `spoken_texts` with times and confidences."""
    return [
        {
            "text": text.text,
            "start_s": round(text.start_s, 3),
            "end_s": round(text.end_s, 3),
            "confidence": round(text.confidence, 4),
            "speaker": text.speaker,
            "injected": text.injected,
        }
        for text in spoken_texts(texts)
    ]
