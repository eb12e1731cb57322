"""What a benchmark has found out, as far as it has come."""

from __future__ import annotations

from typing import Literal

import attrs
import numpy as np

from coda_core.cli.bench.subject import Subject
from coda_core.interfaces import Measures

__all__ = ["Batch", "Findings", "Limit", "Paced"]

Limit = Literal["time", "memory", "most"]


@attrs.frozen(kw_only=True)
class Batch:
    """A step of a full batch, timed."""

    conversations: int
    step_s: tuple[float, ...]
    """The steps; none where the processor could not be made for so many."""
    frame_s: float
    budget_s: float
    """What a step may take."""
    problem: str = ""
    """Why there are no steps."""

    @property
    def p50_s(self) -> float:
        return float(np.median(self.step_s))

    @property
    def p95_s(self) -> float:
        return float(np.percentile(self.step_s, 95))

    @property
    def fits(self) -> bool:
        return bool(self.step_s) and self.p95_s <= self.budget_s

    @property
    def realtime_factor(self) -> float:
        """Seconds of audio stepped per second, over all conversations."""
        return self.conversations * self.frame_s / self.p50_s


@attrs.frozen(kw_only=True)
class Paced:
    """Callers who talked in real time."""

    conversations: int
    seconds: float
    frame_s: float
    measures: Measures
    broken: bool = False
    """A conversation ended by a fault, as one does whose overflow policy is ``disconnect``."""

    @property
    def held(self) -> bool:
        lateness = self.measures.stages_s["lateness"]
        served = lateness.count > 0 and not self.broken and not self.measures.dropped_frames
        return served and lateness.p99 < self.frame_s


@attrs.define(kw_only=True)
class Findings:
    """What is known so far."""

    subject: str
    """The checkpoint, or the processor where it has none."""
    processor: str
    stack: str
    headroom: float
    fingerprint: str = ""
    outcome: Literal["finished", "interrupted", "failed"] = "failed"
    batches: list[Batch] = attrs.field(factory=list)
    """In the order in which they were tried."""
    limit: Limit = "time"
    """What keeps the largest batch that fits from being larger."""
    paced: list[Paced] = attrs.field(factory=list)

    @classmethod
    def about(cls, subject: Subject) -> Findings:
        return cls(
            subject=subject.name,
            processor=subject.resolved.processor.label,
            stack=subject.stack.name,
            headroom=subject.headroom,
        )

    @property
    def fitting(self) -> int:
        """The largest batch of which a step fits; 0 where none does."""
        return max((batch.conversations for batch in self.batches if batch.fits), default=0)

    @property
    def confirmed(self) -> Paced | None:
        """The run whose callers were all served in time."""
        return next((run for run in self.paced if run.held), None)

    @property
    def conversations(self) -> int:
        """The answer: how many conversations this machine holds."""
        return self.confirmed.conversations if self.confirmed is not None else 0
