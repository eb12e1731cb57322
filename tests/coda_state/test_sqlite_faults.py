"""SQLite's own errors, each made for real, in words that say what to do."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from coda_core.errors import StoreError
from coda_state.sqlite_faults import explained


def explain(path: Path, statement: str, connection: sqlite3.Connection) -> str:
    with pytest.raises(StoreError) as caught, explained(path, "try it"):
        connection.execute(statement)
    assert isinstance(caught.value.__cause__, sqlite3.Error)
    return str(caught.value)


@pytest.fixture
def database(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE a (x)")
    return path


def test_read_only(database: Path) -> None:
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, isolation_level=None)) as connection:
        assert explain(database, "INSERT INTO a VALUES (1)", connection) == (
            f"{database}: could not try it: it cannot be written to (attempt to write a readonly database). "
            "Change the permissions of the file and its folder."
        )


def test_locked(database: Path) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with closing(sqlite3.connect(database, timeout=0)) as connection:
            assert "another process holds its lock (database is locked). Wait for that process" in explain(
                database, "SELECT * FROM a", connection
            )


def test_full(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA max_page_count = 2")
        assert "the disk is full (database or disk is full). Free some space" in explain(
            database, "INSERT INTO a VALUES (zeroblob(100000))", connection
        )


def test_not_a_database(path: Path) -> None:
    path.write_text("hello " * 1000)
    with closing(sqlite3.connect(path)) as connection:
        assert "it is not an SQLite database (file is not a database). Coda leaves it as it is" in explain(
            path, "SELECT 1 FROM sqlite_master", connection
        )


def test_damaged(database: Path) -> None:
    content = bytearray(database.read_bytes())
    content[4096:4104] = b"\xff" * 8
    database.write_bytes(content)
    with closing(sqlite3.connect(database)) as connection:
        assert "the database is damaged (database disk image is malformed). Coda leaves it as it is" in explain(
            database, "SELECT * FROM a", connection
        )


def test_another_error_still_names_the_file(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        assert explain(database, "SELECT * FROM missing", connection).startswith(
            f"{database}: could not try it: SQLite refuses (no such table: missing)"
        )


def test_a_defect_stays_a_defect(database: Path) -> None:
    with (
        closing(sqlite3.connect(database)) as connection,
        pytest.raises(sqlite3.ProgrammingError),
        explained(database, "try it"),
    ):
        connection.execute("SELECT ?", ())
