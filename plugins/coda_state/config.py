"""Settings of the state stores and the state manager. Light: read when plugins are listed."""

from __future__ import annotations

from pathlib import Path

import attrs

from coda_core.settings import setting

__all__ = ["ConversationManagerConfig", "MemoryStoreConfig", "SqliteStoreConfig"]


@attrs.frozen
class SqliteStoreConfig:
    """Settings of the state store `sqlite`."""

    path: Path = setting(Path("conversations.db"), help="database file; it and its folder are made where missing")
    busy_timeout_seconds: float = setting(
        5.0, help="how long to wait, in seconds, while another process writes to the database", minimum=0, maximum=600
    )


@attrs.frozen
class MemoryStoreConfig:
    """Settings of the state store `memory`."""

    conversations: int = setting(
        1000,
        help="conversations to keep; above it, those that closed first are dropped whole, live ones never",
        minimum=1,
    )


@attrs.frozen
class ConversationManagerConfig:
    """Settings of the state manager `conversation`."""

    turn_pause_ms: int = setting(
        1000, help="silence in milliseconds after which a turn is over", minimum=0, maximum=60_000
    )
    waiting_after_ms: int = setting(
        3000, help="silence of both sides in milliseconds after which the phase is `waiting`", minimum=80
    )
    yield_within_ms: int = setting(
        1000, help="time in milliseconds within which Moshi should fall silent when it is interrupted", minimum=0
    )
    snapshot_interval_s: float = setting(
        30.0, help="seconds of conversation between two snapshots of how it goes", minimum=1
    )
    events_kept: int = setting(
        1000, help="events kept of each conversation; older ones are counted, and summed up in a snapshot", minimum=1
    )
    snapshots_kept: int = setting(50, help="snapshots kept of each conversation", minimum=1)
    purge_after_days: float | None = setting(
        None, help="days after its last event at which a conversation is deleted for good; none keeps it", minimum=0
    )
    record_audio: bool = setting(
        False,
        help="record both voices of every conversation that does not say otherwise; its peer is told so",
    )
    record_minutes: float = setting(
        240.0, help="minutes that are recorded of a conversation at most", minimum=0.1, maximum=10_000
    )
    confidence_weight: float = setting(25.0, help="weight of Moshi's confidence in the quality score", minimum=0)
    latency_weight: float = setting(25.0, help="weight of the response time in the quality score", minimum=0)
    consistency_weight: float = setting(
        15.0, help="weight of how much response times vary in the quality score", minimum=0
    )
    exchanges_weight: float = setting(
        20.0, help="weight of how often the caller was answered in the quality score", minimum=0
    )
    interruptions_weight: float = setting(
        15.0, help="weight of the interruptions that Moshi did not yield to in the quality score", minimum=0
    )
