"""The tables of the database, and how a database of an older Coda is brought up to date."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

from coda_state.schema_first import FIRST
from coda_state.schema_shards import DIVIDED

__all__ = ["APPLICATION_ID", "MIGRATIONS", "Migration", "migrate"]

Migration = Sequence[str | Callable[[sqlite3.Connection], None]]
"""The statements and steps that lead from one version of the schema to the next."""

APPLICATION_ID: Final = int.from_bytes(b"Coda")
"""Marks a database as Coda's, in its header."""

MIGRATIONS: Final[Sequence[Migration]] = (FIRST, DIVIDED)
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
            for step in migration:
                if callable(step):
                    step(connection)
                else:
                    connection.execute(step)
        # BEGIN IMMEDIATE alone passes on a read-only file.
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT" if version < len(migrations) else "ROLLBACK")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
