"""Version 1 of the schema: one table of events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["FIRST"]

FIRST: Final[Sequence[str]] = (
    """
    CREATE TABLE conversations (
        id INTEGER PRIMARY KEY,
        conversation TEXT NOT NULL UNIQUE,
        opened_s REAL NOT NULL,
        closed_s REAL,
        user_id TEXT,
        events INTEGER NOT NULL,
        last_sequence INTEGER NOT NULL
    )
    """,
    "CREATE INDEX conversations_by_time ON conversations (opened_s)",
    "CREATE INDEX conversations_by_user ON conversations (user_id, opened_s)",
    """
    CREATE TABLE events (
        conversation TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        type TEXT NOT NULL,
        version INTEGER NOT NULL,
        frame INTEGER,
        time_s REAL NOT NULL,
        payload TEXT NOT NULL,
        PRIMARY KEY (conversation, sequence)
    ) WITHOUT ROWID
    """,
    # An id is never used twice: who reads a blob while it is replaced must not go on in the new one.
    """
    CREATE TABLE blobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation TEXT NOT NULL,
        name TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        UNIQUE (conversation, name)
    )
    """,
    """
    CREATE TABLE blob_chunks (
        blob INTEGER NOT NULL,
        part INTEGER NOT NULL,
        content BLOB NOT NULL,
        PRIMARY KEY (blob, part)
    )
    """,
    # One row for each deletion whose bytes may still be in the file.
    "CREATE TABLE erasures (id INTEGER PRIMARY KEY)",
)
