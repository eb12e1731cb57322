"""What a streaming manager measures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import attrs

from coda_core.events import Event

__all__ = ["Distribution", "FollowerMeasures", "LaneMeasures", "Measured", "Measures"]


@attrs.frozen(kw_only=True)
class Distribution:
    """Where a measured quantity lay, in the unit of its name."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    maximum: float


def _share(lost: int, kept: int) -> float:
    return lost / (lost + kept) if lost else 0.0


@attrs.frozen(kw_only=True)
class LaneMeasures:
    """Counters and latencies of one conversation since it was opened."""

    frames: int
    """Steps done."""
    queued_frames: int
    next_frame: int
    """Index that the next whole frame of input will have: a caller that was cut off sends again from there."""
    dropped_frames: int
    """Input frames lost to a full queue."""
    late_frames: int
    """Frames handed over later than one frame after their arrival; 0 where frames are not due in real time."""
    filled_frames: int
    """Frames of silence that stood in for missing input."""
    nan_samples: int
    """Samples that were not finite and became silence."""
    paused: bool
    lateness_s: Distribution
    end_to_end_s: Distribution
    """Last sample of a frame in, to its answer handed over."""
    queue_s: Distribution = Distribution(count=0, mean=0.0, p50=0.0, p95=0.0, p99=0.0, maximum=0.0)
    """Last sample of a frame in, to the start of its step; a manager that does not measure it leaves it out."""

    @property
    def drop_rate(self) -> float:
        """Input frames lost, as a share of all that came in."""
        return _share(self.dropped_frames, self.frames + self.queued_frames)


@attrs.frozen(kw_only=True)
class FollowerMeasures:
    """How a follower kept to its time since the streaming manager started."""

    calls_s: Mapping[str, Distribution]
    """How long its calls took: ``feed``, ``open``, ``export``, ``close``, and ``call`` for all else."""
    overruns: Mapping[str, int]
    """Calls that took longer than their budget, by the same names."""
    failures: int
    """Calls of ``feed`` and ``open`` that raised."""
    quarantine: str = ""
    """Why it is left out: ``slow``, ``failing`` or ``hung``; empty while it is not."""


@attrs.frozen(kw_only=True)
class Measures:
    """What a streaming manager measured since it started."""

    capacity: int
    """Conversations that may be live at once."""
    live: int
    paused: int
    load: float
    """Recent p95 of the step time as a share of one frame; with what other models take of the same worker."""
    realtime_factor: float
    """Audio seconds stepped per second that the worker was busy, over all conversations."""
    frames: int
    dropped_frames: int
    late_frames: int
    skipped_records: Mapping[str, int]
    """Records that each follower was too slow for."""
    cpu_cores: float
    """Processor cores that this process kept busy since the measures were last read."""
    resident_bytes: int
    """Memory of this process."""
    stages_s: Mapping[str, Distribution]
    """``queue``, ``encode``, ``model``, ``decode``, ``step``, ``hand_over``, ``end_to_end``, ``lateness``, and
    ``follow:LABEL`` for each follower."""
    conversations: Mapping[str, LaneMeasures]
    followers: Mapping[str, FollowerMeasures] = attrs.field(factory=dict)
    """By label; empty where a manager does not measure them."""

    @property
    def drop_rate(self) -> float:
        """Input frames lost, as a share of those lost and those stepped."""
        return _share(self.dropped_frames, self.frames)


@attrs.frozen(kw_only=True)
class Measured(Event):
    """The measures of a streaming manager, told to observers every few seconds. Of no conversation; not stored."""

    type: ClassVar[str] = "measured"

    measures: Measures
