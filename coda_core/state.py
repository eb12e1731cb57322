"""What a conversation is doing and how it goes: phases, turns, metrics, quality, and the events that tell of them.

Counts of frames are whole numbers on the step clock, so they are equal whenever the same audio is run again;
`ConversationMetrics.frame_s` says how long a frame is. Only lateness and lost frames depend on the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import attrs

from coda_core.events import Event
from coda_core.text import Speaker

__all__ = [
    "ConversationMetrics",
    "ConversationState",
    "InterruptionSeen",
    "Passage",
    "PassageWord",
    "Phase",
    "PhaseChanged",
    "Quality",
    "QualityFactor",
    "QualityLevel",
    "Snapshot",
    "Spread",
    "TurnEnded",
]

Phase = Literal["initializing", "listening", "processing", "responding", "waiting", "ending", "ended"]
"""No audio from Moshi yet; the caller speaks or may; the caller has ended and Moshi has not begun; Moshi speaks;
nobody has spoken for a while; it is being closed; it is over."""

QualityLevel = Literal["excellent", "good", "fair", "poor", "unknown"]
"""80 and up, 60 and up, 40 and up, below, and too little to judge."""


@attrs.frozen(kw_only=True)
class Spread:
    """Where a measured quantity lay, in the unit of its name. All zero where nothing was measured."""

    count: int = 0
    mean: float = 0.0
    deviation: float = 0.0
    """Standard deviation, of the population."""
    p50: float = 0.0
    p95: float = 0.0
    maximum: float = 0.0


@attrs.frozen(kw_only=True)
class ConversationMetrics:
    """How a conversation has gone so far. Lengths are in frames; `frame_s` seconds each."""

    frame_s: float = 0.08
    frames: int = 0
    """Frames that were looked at: the length of the conversation."""
    unseen_frames: int = 0
    """Of those, frames whose records the state manager was too slow for; taken to be as the one before."""
    caller_frames: int = 0
    """Frames in which the caller spoke."""
    moshi_frames: int = 0
    overlap_frames: int = 0
    """Frames in which both spoke."""
    silence_frames: int = 0
    """Frames in which nobody spoke."""
    longest_silence_frames: int = 0
    silences: int = 0
    """Silences that lasted until the phase became ``waiting``."""
    overlaps: int = 0
    """Stretches in which both spoke."""
    caller_turns: int = 0
    """Turns that were begun."""
    moshi_turns: int = 0
    exchanges: int = 0
    """Turns of the caller, or several in a row, that Moshi answered."""
    unanswered: int = 0
    """How often the caller had spoken, and Moshi had not begun when the phase became ``waiting``."""
    interruptions: int = 0
    """Turns that the caller began while Moshi spoke."""
    yielded: int = 0
    """Of those, how often Moshi fell silent in time."""
    response_frames: Spread = Spread()
    """From the end of the caller's speech to the start of Moshi's, where Moshi did not begin before that end."""
    text_tokens: int = 0
    """Moshi's own text tokens; forced ones are not counted."""
    mean_confidence: float | None = None
    """Mean probability of those; None where there are none."""
    forced_tokens: int = 0
    dropped_frames: int = 0
    """Frames of the caller's audio that were lost on the way in."""
    late_frames: int = 0
    """Frames handed over later than one frame after their arrival."""
    lateness_s: Spread = Spread()

    @property
    def caller_share(self) -> float:
        """Share of the time in which the caller spoke, 0 to 1."""
        return self.caller_frames / self.frames if self.frames else 0.0

    @property
    def moshi_share(self) -> float:
        """Share of the time in which Moshi spoke, 0 to 1."""
        return self.moshi_frames / self.frames if self.frames else 0.0

    @property
    def drop_rate(self) -> float:
        """Frames lost on the way in, as a share of those lost and those stepped."""
        return self.dropped_frames / (self.dropped_frames + self.frames) if self.dropped_frames else 0.0


@attrs.frozen(kw_only=True)
class QualityFactor:
    """One thing that a quality score is made of."""

    name: str
    measured: float | None
    """In `unit`; None where there was too little to judge."""
    unit: str
    score: float | None
    """0 for bad to 1 for good."""
    weight: float
    """Share of the whole score, 0 to 1; 0 where there was too little to judge."""
    points: float
    """What it gave to the score: 100 times score times weight."""


@attrs.frozen(kw_only=True)
class Quality:
    """How good a conversation was, and why."""

    score: float | None = None
    """0 to 100; None where there is too little to judge."""
    level: QualityLevel = "unknown"
    factors: tuple[QualityFactor, ...] = ()
    reason: str = ""
    """Where there is no score: what is missing."""


@attrs.frozen(kw_only=True)
class ConversationState:
    """A live conversation, as a state manager sees it now."""

    conversation: str
    phase: Phase
    frame: int
    """Steps that were looked at; what is said of them lags by the hangover of the speech detection."""
    metrics: ConversationMetrics
    quality: Quality


@attrs.frozen(kw_only=True)
class PhaseChanged(Event):
    """A conversation went into another phase with `frame`."""

    type: ClassVar[str] = "phase"
    phase: Phase = "initializing"
    before: Phase = "initializing"


@attrs.frozen(kw_only=True)
class TurnEnded(Event):
    """Somebody has finished speaking. `frame` is the first one after the turn."""

    type: ClassVar[str] = "turn"
    speaker: Speaker = "caller"
    start_frame: int = 0
    speech_frames: int = 0
    """Frames of it in which there was speech; the others are pauses."""
    response_frames: int | None = None
    """For a turn of Moshi's: frames since the caller ended. None where nobody was answered, or where Moshi began
    before the caller had ended."""


@attrs.frozen(kw_only=True)
class InterruptionSeen(Event):
    """The caller began to speak while Moshi spoke, with `frame`."""

    type: ClassVar[str] = "interruption"
    yielded: bool = False
    """Whether Moshi fell silent in time."""
    yield_frames: int | None = None
    """How long that took."""


@attrs.frozen(kw_only=True)
class Snapshot(Event):
    """A conversation as it stood at `frame`: everything before it is summed up here."""

    type: ClassVar[str] = "snapshot"
    reason: Literal["interval", "phase", "end"] = "interval"
    phase: Phase = "initializing"
    metrics: ConversationMetrics = ConversationMetrics()
    quality: Quality = Quality()
    recent: tuple[Mapping[str, Any], ...] = ()
    """The latest events other than text and snapshots, as JSON objects, oldest first."""
    text: str = ""
    """What Moshi said since the snapshot before."""
    lateness_s: tuple[tuple[int, float], ...] = ()
    """For about each second since the snapshot before: its first frame, and how late its latest frame was handed over.
    Empty where frames are not due in real time."""


# What was said


@attrs.frozen
class PassageWord:
    """One word or phrase of a passage, as it was extracted."""

    start_s: float
    end_s: float
    confidence: float
    text: str


@attrs.frozen(kw_only=True)
class Passage:
    """What one side said in one go, as it is searched for. It outlives the events of its words."""

    conversation: str
    speaker: Speaker
    extractor: str
    start_s: float
    end_s: float
    time_s: float
    """Wall-clock time of its first word, in seconds since 1970-01-01 UTC."""
    words: tuple[PassageWord, ...]

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)
