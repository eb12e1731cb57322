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
    """Settings of the state manager `conversation`: there are none."""
