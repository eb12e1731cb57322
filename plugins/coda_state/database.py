"""Opens the database file of the sqlite store: makes it where missing, refuses what is not Coda's to change."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from coda_core.errors import StoreError
from coda_state.schema import APPLICATION_ID, MIGRATIONS, Migration, migrate
from coda_state.sqlite_faults import explained

__all__ = ["may_be_made", "open_database", "set_aside"]

WAL_LIMIT_BYTES: Final = 16 * 2**20
"""What the write-ahead log is cut back to after something large went through it."""
_MAGIC: Final = b"SQLite format 3\0"
_APPLICATION_AT: Final = 68
_HEADER_BYTES: Final = 72
_STATEMENTS: Final = 1024
"""Prepared statements that are kept: each shard has its own."""


def open_database(
    path: Path, busy_timeout_s: float, migrations: Sequence[Migration] = MIGRATIONS
) -> sqlite3.Connection:
    """Return a connection to the database at `path`, of the newest schema and in autocommit mode.

    A missing file and its missing folders are made; the file appears under its name only when it is complete, and
    only its owner may read it. The connection may be used on any thread, on one at a time.

    Raises `StoreError`, with the file untouched, where it cannot be read or written, is damaged, is not a database,
    belongs to another program, or was written by a newer Coda.
    """
    with explained(path, "open the database"):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                _create(path, migrations)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StoreError(
                f"{path}: could not make the database: {reason}. Name a file in a folder that can be written to."
            ) from error
        connection = _connect(path, busy_timeout_s)
        try:
            _refuse_what_is_not_ours(connection, path, len(migrations))
            _configure(connection, path)
            migrate(connection, migrations)
        except BaseException:
            connection.close()
            raise
        return connection


def may_be_made(path: Path) -> None:
    """Raise `StoreError` where a database at `path` could not be made. Nothing is changed."""
    folder = next(each for each in path.absolute().parents if each.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise StoreError(
            f"{path}: could not make the database: {folder} cannot be written to. "
            "Name a file in a folder that can be written to."
        )


def set_aside(path: Path, stamp: str) -> Path | None:
    """Rename a damaged database of Coda's, with its log; return its new name.

    None, with nothing changed, where the file does not begin as Coda's databases do: it may be anything.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if not header.startswith(_MAGIC) or header[_APPLICATION_AT:] != APPLICATION_ID.to_bytes(4):
        return None
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    path.rename(aside)
    for end in ("-wal", "-shm"):
        beside = path.with_name(path.name + end)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + end))
    return aside


def _connect(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    # By URI, so that a file which vanished since is not made again, empty.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(
        uri,
        uri=True,
        timeout=busy_timeout_s,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
    )


def _create(path: Path, migrations: Sequence[Migration]) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    os.close(handle)
    fresh = Path(name)
    try:
        connection = _connect(fresh, busy_timeout_s=0.0)
        try:
            # Only possible while there is no table: space can be given back in small pieces, later.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            # Nobody sees the file before it is whole and, below, on the disk.
            connection.execute("PRAGMA synchronous = OFF")
            migrate(connection, migrations)
            # Now, alone: two processes that open a new database at once could not both switch it.
            _switch_to_wal(connection, path)
        finally:
            connection.close()
        _sync(fresh)
        try:
            os.link(fresh, path)
        except FileExistsError:
            return  # another process made it meanwhile; its file is as good
    finally:
        fresh.unlink()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refuse_what_is_not_ours(connection: sqlite3.Connection, path: Path, newest: int) -> None:
    """Only reads, so that a database which is refused stays as it is."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    empty = application == 0 and version == 0 and tables == 0
    # SQLite takes a file of one byte for an empty database.
    if empty and path.stat().st_size == 1:
        raise StoreError(f"{path}: is not a database: it holds one byte. Coda leaves it as it is: name another file.")
    if application != APPLICATION_ID and not empty:
        raise StoreError(f"{path}: is the database of another program. Name another file.")
    if version > newest:
        raise StoreError(
            f"{path}: was written by a newer Coda (schema {version}; this one knows up to {newest}). "
            "Install that version of Coda, or name another file."
        )


def _configure(connection: sqlite3.Connection, path: Path) -> None:
    _switch_to_wal(connection, path)
    # FULL: the log is on the disk when a commit returns. In WAL mode NORMAL would lose the last ones on a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    # Without it, macOS's fsync leaves data in the drive's cache. Elsewhere it does nothing.
    connection.execute("PRAGMA fullfsync = ON")
    connection.execute("PRAGMA secure_delete = ON")
    # A table that is written anew takes the old one's name: views go on with that name, and are not changed.
    connection.execute("PRAGMA legacy_alter_table = ON")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")


def _switch_to_wal(connection: sqlite3.Connection, path: Path) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreError(
            f"{path}: its file system does not support SQLite's write-ahead log (journal mode stays {mode}). "
            "Put the database on a local disk."
        )
