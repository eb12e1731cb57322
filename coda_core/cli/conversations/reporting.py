"""A stored conversation as a report."""

from __future__ import annotations

from collections.abc import Iterator

from coda_core.audio import FRAME_S, AudioFormat, to_float32
from coda_core.cli.conversations.describing import latency_of, quality_words, utc
from coda_core.cli.conversations.reading import Story
from coda_core.cli.report import Factor, Mark, Report, Span, Voices
from coda_core.events import Detached, Event, Failed, Fault, Gap, Injection, Interrupted, Parked, Paused
from coda_core.recording import Recording
from coda_core.state import InterruptionSeen, PhaseChanged

__all__ = ["report_of", "voices_of"]


def voices_of(recording: Recording | None) -> Voices | None:
    """Return a recording as a page has it."""
    if recording is None:
        return None
    return Voices(to_float32(recording.voices, AudioFormat(channels=2)), recording.sample_rate_hz)


def report_of(story: Story, voices: Voices | None, recording: Recording | None) -> Report:
    """Return what a page shows of a conversation; `voices` is what is heard of it, if anything."""
    opened = story.opened
    facts = [
        ("Status", story.status),
        ("Opened", (utc(story.row.opened_s) or "").replace("T", " ").replace("+00:00", " UTC")),
        ("Length", f"{story.duration_s:.2f} s"),
        ("Words", str(len(story.texts))),
    ]
    if opened is not None:
        facts += [("Stack", opened.stack), ("Processor", opened.processor), ("Caller", opened.user_id or "")]
        facts += [
            ("Recorded" if name == "record" else name.replace("_", " ").capitalize(), _worded(value))
            for name, value in opened.options.items()
            if name not in ("greeting", "record") or value is (name == "record")
        ]
        facts += [(name.capitalize(), value) for name, value in opened.metadata.items()]
    return Report(
        title=f"Conversation {story.row.conversation}",
        duration_s=story.duration_s,
        facts=[(label, value) for label, value in facts if value not in ("", "None")],
        texts=story.texts,
        phases=list(_phases(story)),
        marks=sorted(_marks(story), key=lambda mark: mark.at_s),
        latency=latency_of(story, recording),
        frame_s=FRAME_S,
        measures=list(_measures(story)),
        quality=_quality(story),
        voices=voices,
    )


def _phases(story: Story) -> Iterator[Span]:
    changes = [event for event in story.events if isinstance(event, PhaseChanged)]
    starts = [(event.frame or 0) * FRAME_S for event in changes]
    for event, start_s, end_s in zip(changes, starts, [*starts[1:], story.duration_s], strict=False):
        if end_s > start_s:
            yield Span(start_s, end_s, event.phase)


def _worded(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _measures(story: Story) -> Iterator[tuple[str, str]]:
    if story.snapshot is None:
        return
    metrics = story.snapshot.metrics
    answers = metrics.response_frames
    yield "Caller spoke", f"{100 * metrics.caller_share:.0f} %"
    yield "Moshi spoke", f"{100 * metrics.moshi_share:.0f} %"
    yield "Both at once", f"{metrics.overlap_frames * metrics.frame_s:.1f} s"
    yield "Longest silence", f"{metrics.longest_silence_frames * metrics.frame_s:.1f} s"
    yield "Turns", f"{metrics.caller_turns} of the caller, {metrics.moshi_turns} of Moshi"
    yield "Exchanges", str(metrics.exchanges)
    if metrics.unanswered:
        yield "Left unanswered", str(metrics.unanswered)
    if answers.count:
        yield "Response time", f"{answers.p50 * metrics.frame_s:.2f} s (median of {answers.count})"
    yield "Interruptions", f"{metrics.interruptions}, of which Moshi yielded to {metrics.yielded}"
    if metrics.mean_confidence is not None:
        yield "Mean confidence", f"{metrics.mean_confidence:.2f} over {metrics.text_tokens} tokens"
    yield "Frames lost", f"{metrics.dropped_frames} ({100 * metrics.drop_rate:.1f} %)"
    if story.opened is not None and story.opened.realtime:
        yield "Frames late", str(metrics.late_frames)


def _quality(story: Story) -> list[Factor]:
    if story.snapshot is None:
        return []
    quality = story.snapshot.quality
    factors = [
        Factor(
            factor.name,
            "too little to judge" if factor.measured is None else f"{factor.measured:.3g} {factor.unit}",
            None if factor.measured is None else factor.points,
            100 * factor.weight,
        )
        for factor in quality.factors
    ]
    return [Factor("Score", quality_words(quality), quality.score, 100.0), *factors]


def _marks(story: Story) -> Iterator[Mark]:
    for event in story.events:
        found = _mark(event)
        if found is not None:
            yield Mark((event.frame or 0) * FRAME_S, *found)


def _mark(event: Event) -> tuple[str, str] | None:
    match event:
        case Gap():
            return "drop", f"{event.frames} frames lost ({event.reason})"
        case Fault() | Failed():
            return "fault", event.message
        case Injection(status="started"):
            return "injection", f"asked to say: {event.text}"
        case InterruptionSeen():
            return "interruption", f"the caller spoke up, and Moshi {'fell silent' if event.yielded else 'went on'}"
        case Interrupted():
            return "event", "Moshi was told to fall silent"
        case Paused() | Parked() | Detached():
            return "event", event.type
    return None
