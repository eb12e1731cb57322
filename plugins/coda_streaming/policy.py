"""What a streaming manager was told to do, whichever of them it is."""

from __future__ import annotations

from typing import Literal

import attrs

from coda_streaming.config import OfflineConfig, RealtimeConfig
from coda_streaming.containment import Containment

__all__ = ["ActivityPolicy", "Policy"]


@attrs.frozen(kw_only=True)
class ActivityPolicy:
    """When a frame counts as speech."""

    threshold_dbfs: float
    margin_db: float
    hangover_frames: int


@attrs.frozen(kw_only=True)
class Policy:
    """The rules of one manager, in the units the code works in."""

    realtime: bool
    buffer_frames: int
    overflow: Literal["drop-oldest", "drop-newest", "disconnect"] | None
    """None: nothing is ever dropped, and who sends waits."""
    gather_s: float
    fill_missing: bool
    headroom: float
    park_idle: Literal["never", "paused", "silent"]
    park_after_s: float
    on_fault: Literal["end", "restart"]
    follower_queue_steps: int
    containment: Containment
    measures_interval_s: float | None
    activity: ActivityPolicy

    @classmethod
    def of(cls, config: RealtimeConfig | OfflineConfig) -> Policy:
        realtime = config if isinstance(config, RealtimeConfig) else None
        return cls(
            realtime=realtime is not None,
            buffer_frames=config.buffer_frames,
            overflow=realtime.overflow if realtime else None,
            gather_s=config.gather_ms / 1000,
            fill_missing=realtime.fill_missing if realtime else False,
            headroom=realtime.headroom if realtime else 0.0,
            park_idle=config.park_idle,
            park_after_s=config.park_after_s,
            on_fault=config.on_fault,
            follower_queue_steps=config.follower_queue_steps,
            containment=Containment(
                feed_s=realtime.follower_budget_ms / 1000 if realtime else None,
                strikes=config.follower_strikes,
                hang_s=config.follower_hang_s,
            ),
            measures_interval_s=realtime.measures_interval_s if realtime else None,
            activity=ActivityPolicy(
                threshold_dbfs=config.speech_threshold_dbfs,
                margin_db=config.speech_margin_db,
                hangover_frames=config.speech_hangover_frames,
            ),
        )
