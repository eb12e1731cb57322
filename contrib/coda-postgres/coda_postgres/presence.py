"""Tells which servers are alive, so that each conversation is one server's."""

from __future__ import annotations

import logging
import os
import platform
import threading
from collections.abc import Collection
from typing import Final, LiteralString

import psycopg

from coda_postgres.config import PostgresStoreConfig
from coda_postgres.schema import Connection, lock_class
from coda_postgres.session import connect

__all__ = ["ALIVE", "Presence"]

ALIVE: Final[LiteralString] = """
    SELECT s.id FROM servers s
    WHERE greatest(s.seen, pg_postmaster_start_time()) > clock_timestamp() - s.lease_s * interval '1 second'
    OR EXISTS (
        SELECT FROM pg_locks l
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND l.classid = %s::bigint::oid AND l.objid = s.id::oid
    )
"""
"""Servers that live: they hold their lock, or were seen within their lease. Takes `lock_class`.

A lock alone would not do: where the database is restarted, or a network fails for a moment, living servers lose theirs.
Time is the database's.
"""

_BEATS: Final = 3
"""Signs of life within one lease."""
_SHORTEST_S: Final = 0.05
_LONGEST_S: Final = 10.0
_SHORTEST_ANSWER_S: Final = 5.0


class Presence:
    """This server's own sign of life: a row, and a lock on it that the database takes away with the connection.

    It has a connection of its own, because the store's is busy for seconds at times, and a thread that keeps it.
    """

    def __init__(self, config: PostgresStoreConfig, logger: logging.Logger) -> None:
        self.lock_class = lock_class(config.schema)
        self._config = config
        self._logger = logger
        self._id: int | None = None
        self._connection: Connection | None = None
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()

    @property
    def id(self) -> int | None:
        """This server's number; None before it has written anything."""
        return self._id

    def begin(self) -> int:
        """Give the sign from now on, where it is not given yet; return this server's number.

        Raises `psycopg.Error`.
        """
        if self._id is not None:
            return self._id
        self._connection = self._connected()
        # Rows of the dead are of no use: a server without one is as dead.
        self._connection.execute(f"DELETE FROM servers WHERE id NOT IN ({ALIVE})", (self.lock_class,))
        made = self._connection.execute(
            "INSERT INTO servers (name, lease_s) VALUES (%s, %s) RETURNING id",
            (f"{platform.node()} {os.getpid()}", self._config.lease_seconds),
        ).fetchone()
        assert made is not None
        self._connection.execute("SELECT pg_advisory_lock(%s, %s)", (self.lock_class, made[0]))
        id = self._id = int(made[0])
        self._ending.clear()
        self._thread = threading.Thread(target=self._live, name="coda-postgres-presence", daemon=True)
        self._thread.start()
        return id

    def end(self) -> None:
        """Take the sign away: this server's conversations are free."""
        if self._thread is None:
            return
        self._ending.set()
        self._thread.join()
        self._thread = None
        try:
            if self._connection is not None:
                self._connection.execute("DELETE FROM servers WHERE id = %s", (self._id,))
        except psycopg.Error as error:
            self._logger.warning("this server's conversations are free only when its lease is over: %s", error)
        finally:
            self._id = None
            self._disconnect()

    def others(self, connection: Connection, servers: Collection[int | None]) -> set[int]:
        """Return those of `servers` that live and are not this one."""
        others = [each for each in servers if each is not None and each != self._id]
        if not others:
            return set()
        query: LiteralString = f"SELECT alive.id FROM ({ALIVE}) alive WHERE alive.id = ANY(%s)"
        return {id for (id,) in connection.execute(query, (self.lock_class, others))}

    def _live(self) -> None:
        interval_s = min(max(self._config.lease_seconds / _BEATS, _SHORTEST_S), _LONGEST_S)
        while not self._ending.wait(interval_s):
            try:
                self._beat()
            except psycopg.Error as error:
                self._logger.debug("no sign of life: %s", error)
                self._disconnect()

    def _beat(self) -> None:
        if self._connection is None:
            self._connection = self._connected()
        # Somebody may have taken this server for dead, and removed its row.
        self._connection.execute(
            "INSERT INTO servers (id, name, lease_s) OVERRIDING SYSTEM VALUE VALUES (%s, %s, %s) "
            "ON CONFLICT (id) DO UPDATE SET seen = clock_timestamp()",
            (self._id, f"{platform.node()} {os.getpid()}", self._config.lease_seconds),
        )
        held = (
            "SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND granted "
            "AND classid = %s::bigint::oid AND objid = %s::oid"
        )
        # A lost connection's lock is the database's to take away first, so this may fail, and is tried again.
        if self._connection.execute(held, (self.lock_class, self._id)).fetchone() is None:
            self._connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (self.lock_class, self._id))

    def _connected(self) -> Connection:
        connection = connect(self._config)
        # Whoever waits for longer than its lease is taken for dead meanwhile.
        connection.answer_s = min(connection.answer_s, max(self._config.lease_seconds, _SHORTEST_ANSWER_S))
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
