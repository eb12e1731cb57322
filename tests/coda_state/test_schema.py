"""Bringing a database forward, version by version."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from coda_state.schema import APPLICATION_ID, MIGRATIONS, migrate

FIRST = ["CREATE TABLE a (x INTEGER)", "INSERT INTO a VALUES (1)"]
SECOND = ["ALTER TABLE a ADD COLUMN y INTEGER", "UPDATE a SET y = x + 1"]
BROKEN = ["INSERT INTO a VALUES (3, 4)", "INSERT INTO missing VALUES (1)"]


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def version(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found


def test_a_new_database_goes_through_every_migration(connection: sqlite3.Connection) -> None:
    migrate(connection, [FIRST, SECOND])
    assert version(connection) == 2
    assert connection.execute("SELECT x, y FROM a").fetchall() == [(1, 2)]
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


def test_an_old_database_goes_through_those_it_lacks(connection: sqlite3.Connection) -> None:
    migrate(connection, [FIRST])
    connection.execute("INSERT INTO a VALUES (10)")
    migrate(connection, [FIRST, SECOND])
    assert version(connection) == 2
    assert connection.execute("SELECT x, y FROM a").fetchall() == [(1, 2), (10, 11)]


def test_a_migration_that_fails_leaves_the_database_as_it_was(connection: sqlite3.Connection) -> None:
    migrate(connection, [FIRST])
    with pytest.raises(sqlite3.OperationalError, match="no such table: missing"):
        migrate(connection, [FIRST, SECOND, BROKEN])
    assert not connection.in_transaction
    assert version(connection) == 1
    assert connection.execute("SELECT * FROM a").fetchall() == [(1,)]


def test_migrating_twice_changes_nothing(connection: sqlite3.Connection) -> None:
    migrate(connection)
    schema = connection.execute("SELECT * FROM sqlite_master").fetchall()
    migrate(connection)
    assert connection.execute("SELECT * FROM sqlite_master").fetchall() == schema
    assert version(connection) == len(MIGRATIONS)


def test_a_database_that_cannot_be_written_to_is_found_out(connection: sqlite3.Connection, path: Path) -> None:
    migrate(connection)
    read_only = f"{path.as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(read_only, uri=True, isolation_level=None)) as other,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        migrate(other)


def test_a_newer_database_is_left_as_it_is(connection: sqlite3.Connection) -> None:
    migrate(connection, [FIRST, SECOND])
    migrate(connection, [FIRST])
    assert version(connection) == 2


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("SELECT * FROM conversations ORDER BY opened_s DESC, id DESC LIMIT 9", "conversations_by_time"),
        ("SELECT * FROM conversations WHERE user_id = 'a' ORDER BY opened_s DESC, id DESC", "conversations_by_user"),
        ("SELECT * FROM events WHERE conversation = 'a' AND sequence > 3 ORDER BY sequence", "PRIMARY KEY"),
    ],
)
def test_searches_go_by_an_index_and_sort_nothing(connection: sqlite3.Connection, query: str, index: str) -> None:
    migrate(connection)
    plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}"))
    assert index in plan
    assert "TEMP B-TREE" not in plan
