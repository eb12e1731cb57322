"""Bringing a database forward, version by version."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import attrs
import pytest

from coda_core.events import Closed, Event, Fault, Opened, event_to_json
from coda_core.interfaces import ConversationRow
from coda_core.text import ExtractedText
from coda_state.schema import APPLICATION_ID, MIGRATIONS, migrate
from coda_state.sqlite import SqliteStore

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
        ("SELECT * FROM conversations WHERE closed_s IS NULL ORDER BY opened_s DESC, id DESC", "unfinished"),
        ("SELECT * FROM events_03 WHERE conversation = 1 AND sequence > 3 ORDER BY sequence", "PRIMARY KEY"),
        ("SELECT max(sequence) FROM events_03 WHERE conversation = 1 AND type = 'snapshot'", "PRIMARY KEY"),
        ("SELECT * FROM passages_03 WHERE conversation = 1 AND id > 3 ORDER BY id", "passages_by_conversation_03"),
    ],
)
def test_searches_go_by_an_index_and_sort_nothing(connection: sqlite3.Connection, query: str, index: str) -> None:
    migrate(connection)
    plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}"))
    assert index in plan
    assert "TEMP B-TREE" not in plan


def test_a_database_of_the_first_version_keeps_all_it_had(path: Path) -> None:
    told: list[Event] = [
        Opened(conversation="a", sequence=1, time_s=10.0, user_id="ada"),
        *(
            ExtractedText(
                conversation="a", sequence=at + 2, time_s=11.0 + at, text=word, start_s=at, end_s=at + 0.5, confidence=1
            )
            for at, word in enumerate(("good", "morning"))
        ),
        Closed(conversation="a", sequence=4, time_s=20.0),
    ]
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        migrate(old, MIGRATIONS[:1])
        old.execute(
            "INSERT INTO conversations VALUES (7, 'a', 10.0, 20.0, 'ada', 4, 4), (9, 'b', 5.0, NULL, NULL, 0, 0)"
        )
        for event in told:
            values = (
                event.conversation,
                event.sequence,
                event.type,
                1,
                event.frame,
                event.time_s,
                event_to_json(event),
            )
            old.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        old.execute("INSERT INTO blobs VALUES (3, 'a', 'state', 5)")
        old.execute("INSERT INTO blob_chunks VALUES (3, 0, X'0001020304')")
        old.execute("INSERT INTO erasures DEFAULT VALUES")
    with closing(SqliteStore(path, 0.0, logging.getLogger("coda.test"))) as store:
        store.open()
        assert list(store.events("a")) == told
        row = ConversationRow(
            conversation="a", opened_s=10.0, closed_s=20.0, user_id="ada", events=4, last_sequence=4, last_s=20.0
        )
        assert store.find() == [
            row,
            attrs.evolve(
                row, conversation="b", opened_s=5.0, closed_s=None, user_id=None, events=0, last_sequence=0, last_s=5.0
            ),
        ]
        assert [row.conversation for row in store.find(unfinished=True)] == ["b"]
        assert [passage.text for passage in store.search("morning")] == ["good morning"]
        assert b"".join(store.get_blob("a", "state")) == bytes(range(5))
        store.append([Fault(conversation="a", sequence=5, time_s=30.0)])
        store.delete("a")
        assert [row.conversation for row in store.find()] == ["b"]
    content = path.read_bytes()
    assert not [word for word in (b"ada", b"morning", bytes(range(5))) if word in content]


def test_what_a_database_is_made_with_and_what_it_is_brought_to_are_the_same(tmp_path: Path) -> None:
    for version in range(len(MIGRATIONS)):
        with closing(sqlite3.connect(tmp_path / f"{version}.db", isolation_level=None)) as connection:
            migrate(connection, MIGRATIONS[:version])
            migrate(connection)
            schema = set(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall())
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        with closing(sqlite3.connect(tmp_path / "new.db", isolation_level=None)) as connection:
            migrate(connection)
            assert set(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()) == schema
