"""The settings of the streaming managers."""

from __future__ import annotations

from typing import Literal

import attrs

from coda_core.settings import setting

__all__ = ["OfflineConfig", "RealtimeConfig"]

Overflow = Literal["drop-oldest", "drop-newest", "disconnect"]
ParkIdle = Literal["never", "paused", "silent"]
OnFault = Literal["end", "restart"]


@attrs.frozen(kw_only=True)
class _Activity:
    speech_threshold_dbfs: float = setting(
        -45.0, minimum=-120, maximum=0, help="level in dBFS above which a frame counts as speech"
    )
    speech_margin_db: float = setting(
        9.0, minimum=0, maximum=60, help="how far speech must rise above the background that was heard lately, in dB"
    )
    speech_hangover_frames: int = setting(
        4, minimum=0, maximum=100, help="quiet frames after which speech counts as over"
    )
    follower_queue_steps: int = setting(
        250, minimum=1, maximum=100_000, help="steps that may wait for an extractor or the state manager"
    )
    follower_strikes: int = setting(
        250,
        minimum=1,
        maximum=100_000,
        help="steps that an extractor or the state manager may fail or take too long for, less those that were well, "
        "before it is left out",
    )
    park_idle: ParkIdle = setting(
        "paused",
        help="whom to park where all slots are taken and a caller waits: nobody, who is paused, or also who is silent",
    )
    park_after_s: float = setting(
        30.0,
        minimum=0,
        maximum=86_400,
        help="seconds that a conversation must have stood still or been silent for that",
    )
    on_fault: OnFault = setting(
        "end", help="what becomes of a conversation whose model state was lost: it ends, or restarts afresh"
    )


@attrs.frozen(kw_only=True)
class RealtimeConfig(_Activity):
    """Settings of `realtime`."""

    buffer_frames: int = setting(
        100, minimum=1, maximum=100_000, help="input frames (80 ms each) that may wait for the model, per conversation"
    )
    overflow: Overflow = setting(
        "drop-oldest", help="what becomes of input that finds no room: lose the oldest, the newest, or the conversation"
    )
    gather_ms: float = setting(
        20.0,
        minimum=0,
        maximum=80,
        help="how long, in ms, a frame may wait for those of other conversations before the model steps",
    )
    fill_missing: bool = setting(
        False, help="step silence for a conversation whose input is missing, so that Moshi goes on"
    )
    headroom: float = setting(
        0.1, minimum=0, maximum=0.9, help="share of a frame's 80 ms that a full batch must leave free"
    )
    follower_budget_ms: float = setting(
        80.0,
        minimum=1,
        maximum=60_000,
        help="time, in ms, that an extractor or the state manager may take for one step of all conversations",
    )
    follower_hang_s: float = setting(
        30.0,
        minimum=1,
        maximum=86_400,
        help="seconds in one call after which an extractor counts as hung and is left out",
    )
    measures_interval_s: float = setting(
        5.0,
        minimum=0.1,
        maximum=3600,
        help="seconds between two reports of the measures to observers, and of losses to peers",
    )


@attrs.frozen(kw_only=True)
class OfflineConfig(_Activity):
    """Settings of `offline`."""

    buffer_frames: int = setting(
        100, minimum=1, maximum=100_000, help="input frames that may wait for the model before the sender does"
    )
    gather_ms: float = setting(
        5.0,
        minimum=0,
        maximum=80,
        help="how long, in ms, a frame may wait for those of other conversations, so that steps are full",
    )
    follower_hang_s: float = setting(
        600.0,
        minimum=1,
        maximum=86_400,
        help="seconds in one call after which an extractor counts as hung and is left out",
    )
