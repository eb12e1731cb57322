"""One connection to the database, shared by all parts of the sqlite store."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from coda_core.errors import StoreError
from coda_state.database import may_be_made, open_database
from coda_state.sqlite_faults import DatabaseDamaged, explained

__all__ = ["Session"]


class Session:
    """Reads and transactions, one at a time. The database is made when something is first written.

    A lock keeps a late call and `close` apart, and lets any thread call.
    """

    def __init__(self, path: Path, busy_timeout_s: float) -> None:
        self.path = path
        self.damaged: DatabaseDamaged | None = None
        """Why the file that lies there cannot be used, where it is Coda's."""
        self._busy_timeout_s = busy_timeout_s
        # Reentrant: a blob may be made of what is read from the same store.
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._closed = True

    def open(self) -> None:
        """Open the database where there is one; raises `StoreError` where it is none, or could not be made."""
        with self._lock:
            self._closed = False
            self.damaged = None
            if not self.path.exists():
                may_be_made(self.path)
                return
            try:
                self._connection = open_database(self.path, self._busy_timeout_s)
            except DatabaseDamaged as error:
                self.damaged = error

    def close(self) -> None:
        """Close the database. Does nothing where it is not open."""
        with self._lock, explained(self.path, "close the database"):
            self._closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def read(self, query: str, *values: object) -> list[Any]:
        """Return what a query finds: nothing where there is no database yet."""
        with self._lock, explained(self.path, "read"):
            connection = self._usable()
            if connection is None:
                if not self.path.exists():
                    return []
                connection = self._made()
            return connection.execute(query, values).fetchall()

    @contextmanager
    def writing(self, doing: str) -> Iterator[sqlite3.Connection]:
        """One transaction, durable at the end, undone where anything fails."""
        with self._lock, explained(self.path, doing):
            connection = self._usable() or self._made()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def connected(self, doing: str) -> Iterator[sqlite3.Connection | None]:
        """The connection, for what needs no transaction; None where there is no database yet."""
        with self._lock, explained(self.path, doing):
            yield self._usable()

    def _usable(self) -> sqlite3.Connection | None:
        if self._closed:
            raise StoreError(f"{self.path}: the store is closed; open another one")
        if self.damaged is not None:
            raise self.damaged
        return self._connection

    def _made(self) -> sqlite3.Connection:
        self._connection = open_database(self.path, self._busy_timeout_s)
        return self._connection
