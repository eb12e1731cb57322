"""A stored conversation as a JSON object, the whole of it or what a list shows."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs

from coda_core.audio import FRAME_S
from coda_core.cli.conversations.reading import Story
from coda_core.events import event_to_json
from coda_core.interfaces import ConversationRow
from coda_core.state import Passage, Quality, Snapshot
from coda_core.text import ExtractedText

if TYPE_CHECKING:
    from coda_core.recording import Recording

__all__ = [
    "latency_of",
    "passage_object",
    "quality_rows",
    "quality_words",
    "row_object",
    "story_object",
    "utc",
    "word_object",
]


def utc(seconds: float | None) -> str | None:
    """Return wall-clock seconds as ISO 8601 in UTC, to the second."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def row_object(row: ConversationRow) -> dict[str, Any]:
    """Return what a list shows of a conversation."""
    return {**attrs.asdict(row), "opened": utc(row.opened_s), "closed": utc(row.closed_s)}


def story_object(story: Story, recording: Recording | None, *, events: bool) -> dict[str, Any]:
    """Return a conversation with its words and, where asked for, every event."""
    opened = story.opened
    found: dict[str, Any] = {
        **row_object(story.row),
        "status": story.status,
        "duration_s": round(story.duration_s, 3),
        "stack": opened.stack if opened else "",
        "processor": opened.processor if opened else "",
        "fingerprint": opened.fingerprint if opened else "",
        "options": dict(opened.options) if opened else {},
        "metadata": dict(opened.metadata) if opened else {},
        "words": [word_object(text) for text in story.texts],
        "recording": None if recording is None else recording_object(recording),
        "latency_ms": [[round(at_s, 2), round(value, 1)] for at_s, value in latency_of(story, recording)],
        "metrics": None,
        "quality": None,
    }
    if story.snapshot is not None:
        found["metrics"] = attrs.asdict(story.snapshot.metrics)
        found["quality"] = attrs.asdict(story.snapshot.quality)
    if events:
        found["all_events"] = [json.loads(event_to_json(event)) for event in story.events]
    return found


def recording_object(recording: Recording) -> dict[str, Any]:
    """Return what there is of a recording."""
    return {
        "frames": recording.frames,
        "seconds": round(recording.frames * recording.frame_s, 2),
        "missing_frames": recording.missing,
        "sample_rate_hz": recording.sample_rate_hz,
    }


def latency_of(story: Story, recording: Recording | None) -> list[tuple[float, float]]:
    """Return when, in seconds, and how many milliseconds after the last sample of a frame its answer was handed over.

    The slowest of each second; for every frame where there is a recording. Nothing where frames were not due in
    real time.
    """
    opened = story.opened
    if opened is None or opened.realtime is False:
        return []
    if recording is not None:
        rows, frame_s = recording.rows, recording.frame_s
        frames = [(at, float(rows["lateness_s"][at])) for at in rows["seen"].nonzero()[0].tolist()]
    else:
        frame_s = FRAME_S
        frames = [each for event in story.events if isinstance(event, Snapshot) for each in event.lateness_s]
    return [(frame * frame_s, 1000 * (lateness_s + frame_s)) for frame, lateness_s in frames]


def passage_object(passage: Passage) -> dict[str, Any]:
    """Return a passage that a search found."""
    return {**attrs.asdict(passage), "text": passage.text, "said": utc(passage.time_s)}


def quality_words(quality: Quality) -> str:
    """Return the score in words."""
    if quality.score is None:
        return f"unknown: {quality.reason}" if quality.reason else "unknown"
    return f"{quality.score:.0f} of 100, {quality.level}"


def quality_rows(quality: Quality) -> list[tuple[str, str]]:
    """Return each factor with what was measured and what it gave to the score."""
    return [
        (
            factor.name.replace("_", " "),
            "too little to judge"
            if factor.measured is None
            else f"{factor.measured:.3g} {factor.unit}".rstrip()
            + f": {factor.points:.0f} of {100 * factor.weight:.0f} points",
        )
        for factor in quality.factors
    ]


def word_object(text: ExtractedText) -> dict[str, Any]:
    """Return a word or phrase."""
    return {
        "text": text.text,
        "start_s": round(text.start_s, 3),
        "end_s": round(text.end_s, 3),
        "confidence": round(text.confidence, 4),
        "speaker": text.speaker,
        "injected": text.injected,
    }
