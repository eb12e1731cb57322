"""One connection to the database, shared by all parts of the store, and made again when it is lost."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, LiteralString

import psycopg
from coda_core import StoreError
from psycopg import sql
from psycopg.conninfo import make_conninfo

from coda_postgres.answering import AnsweringConnection
from coda_postgres.config import PostgresStoreConfig
from coda_postgres.faults import explained, shown
from coda_postgres.schema import MIGRATIONS, make, version_of

__all__ = ["Session", "connect"]

_NETWORK: Final = {
    # A network that swallows packets is noticed, at both ends, in some ten seconds and not in hours.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


def connect(config: PostgresStoreConfig) -> AnsweringConnection:
    """Return a connection in autocommit mode that looks for tables in the schema, and waits for nothing for ever.

    Raises `psycopg.OperationalError`, and `StoreError` where the url is none.
    """
    try:
        target = make_conninfo(
            config.url,
            connect_timeout=max(2, math.ceil(config.timeout_seconds)),
            application_name="coda",
            **_NETWORK,
        )
    except psycopg.ProgrammingError:
        # What libpq says of it may be a part of the password.
        raise StoreError(
            "the state store's url cannot be read; write it as in postgresql://user:password@host:5432/database, with "
            "%40 for an @ in the password"
        ) from None
    connection = AnsweringConnection.connect(target, autocommit=True)
    connection.answer_s = config.timeout_seconds + config.answer_seconds
    try:
        for name, value in (
            ("search_path", sql.Identifier(config.schema).as_string()),
            ("lock_timeout", f"{round(1000 * config.timeout_seconds)}ms"),
            ("tcp_keepalives_idle", "5"),
            ("tcp_keepalives_interval", "2"),
            ("tcp_keepalives_count", "3"),
        ):
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        # A database may be set up to acknowledge before anything is on its disk.
        connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
    except BaseException:
        connection.close()
        raise
    return connection


class Session:
    """Reads and transactions, one at a time. The tables are made when something is first written.

    A connection that is lost, or given up because nothing is heard of it, is made again with the next call; what was
    under way then raises `StoreError`. A lock lets any thread call.
    """

    def __init__(self, config: PostgresStoreConfig, logger: logging.Logger) -> None:
        self.config = config
        self.place = shown(config.url)
        self._logger = logger
        # Reentrant: a blob may be made of what is read from the same store.
        self._lock = threading.RLock()
        self._connection: AnsweringConnection | None = None
        self._made = False
        self._closed = True

    def open(self) -> None:
        """Connect; raises `StoreError` where that cannot be, or where the tables are not ours to use."""
        with self._lock, explained(self.place, "connect"):
            self._closed = False
            connection = self._usable()
            if connection.execute("SHOW fsync").fetchone() == ("off",):
                self._logger.warning(
                    "PostgreSQL at %s runs with fsync off: what is stored does not outlive a power cut", self.place
                )

    def close(self) -> None:
        """Disconnect. Does nothing where it is not connected."""
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def read(self, query: LiteralString, values: Sequence[object] | Mapping[str, object] = ()) -> list[Any]:
        """Return what a query finds: nothing where there are no tables yet."""
        with self._lock, explained(self.place, "read"):
            connection = self._usable()
            # Another server may have made them meanwhile.
            self._made = self._made or version_of(connection, self.config.schema) > 0
            return connection.execute(query, values).fetchall() if self._made else []

    @contextmanager
    def writing(self, doing: str) -> Iterator[AnsweringConnection]:
        """One transaction, durable at the end, undone where anything fails."""
        with self._lock, explained(self.place, doing):
            connection = self._ready()
            with connection.transaction():
                yield connection

    @contextmanager
    def connected(self, doing: str) -> Iterator[AnsweringConnection]:
        """The connection, with the tables made, for what makes no transaction."""
        with self._lock, explained(self.place, doing):
            yield self._ready()

    def _ready(self) -> AnsweringConnection:
        connection = self._usable()
        if not self._made:
            make(connection, self.config.schema)
            self._made = True
        return connection

    def _usable(self) -> AnsweringConnection:
        if self._closed:
            raise StoreError("the store is closed; open another one")
        connection = self._connection
        if connection is not None and not connection.closed:
            return connection
        if connection is not None:
            self._logger.warning("the connection to PostgreSQL at %s is lost; connecting again", self.place)
        self._connection = None
        connection = connect(self.config)
        try:
            version = version_of(connection, self.config.schema)
            if version not in (0, len(MIGRATIONS)):
                with connection.unhurried():  # what is brought up to date may be large
                    make(connection, self.config.schema)
        except BaseException:
            connection.close()
            raise
        self._made = version > 0
        self._connection = connection
        return connection
