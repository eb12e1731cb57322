"""The tables of the database, and how a database of an older Coda is brought up to date."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

__all__ = ["APPLICATION_ID", "MIGRATIONS", "Migration", "migrate"]

Migration = Sequence[str]
"""The statements that lead from one version of the schema to the next."""

APPLICATION_ID: Final = int.from_bytes(b"Coda")
"""Marks a database as Coda's, in its header."""

MIGRATIONS: Final[Sequence[Migration]] = (
    (
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
    ),
)
"""Version n of the schema is what the first n migrations make. One that was released is never changed."""


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring the database to the newest version, whole or not at all; raises `sqlite3.Error`.

    Also where there is nothing to do it tries to write, and takes that back: a database that cannot be written to
    is found out now. A version above the newest is left as it is; to refuse it is the caller's.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        for migration in migrations[version:]:
            for statement in migration:
                connection.execute(statement)
        # BEGIN IMMEDIATE alone passes on a read-only file.
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT" if version < len(migrations) else "ROLLBACK")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
