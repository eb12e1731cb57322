"""A conversation's words as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coda_core.cli.demo.session import Talk
    from coda_core.text import ExtractedText

__all__ = ["transcript", "word_entries"]


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
        "words": word_entries(talk.texts),
    }


def word_entries(texts: list[ExtractedText]) -> list[dict[str, Any]]:
    """Return what was said, in order: words, or phrases where the stack's extractor finds nothing smaller."""
    words = [text for text in texts if text.unit == "word"] or texts
    return [
        {
            "text": text.text,
            "start_s": round(text.start_s, 3),
            "end_s": round(text.end_s, 3),
            "confidence": round(text.confidence, 4),
            "speaker": text.speaker,
        }
        for text in words
    ]
