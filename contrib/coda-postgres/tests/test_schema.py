"""The tables: made once, brought up to date, and left alone where they are not ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from coda_core import StoreError
from coda_core.testing.conformance.store_suite import talk

from coda_postgres.config import PostgresStoreConfig
from coda_postgres.schema import MIGRATIONS, Connection, make, version_of
from coda_postgres.session import connect
from coda_postgres.store import PostgresStore
from coda_postgres_testing.server import Server

Opened = Callable[[PostgresStoreConfig], PostgresStore]

LATER = (*MIGRATIONS, ("ALTER TABLE conversations ADD COLUMN mood text", "CREATE TABLE moods (id integer)"))


@pytest.fixture
def fresh(server: Server) -> PostgresStoreConfig:
    server.empty("fresh", drop=True)
    return PostgresStoreConfig(url=server.url, schema="fresh")


@pytest.fixture
def connection(fresh: PostgresStoreConfig) -> Iterator[Connection]:
    with connect(fresh) as connection:
        yield connection


def test_who_only_reads_makes_no_tables(fresh: PostgresStoreConfig, connection: Connection, opened: Opened) -> None:
    store = opened(fresh)
    assert store.find() == []
    assert store.purge(0.0) is None
    store.delete("a")
    assert version_of(connection, "fresh") == 0
    other = opened(fresh)
    other.append(talk("a"))
    assert [row.conversation for row in store.find()] == ["a"]


def test_servers_that_start_at_once_make_them_once(fresh: PostgresStoreConfig, connection: Connection) -> None:
    def start(migrations: object) -> int:
        with connect(fresh) as mine:
            make(mine, "fresh", LATER)
            return version_of(mine, "fresh")

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(start, range(6))) == [2] * 6


def test_an_older_database_is_brought_up_to_date_and_keeps_what_it_has(
    fresh: PostgresStoreConfig, connection: Connection, opened: Opened
) -> None:
    store = opened(fresh)
    store.append(talk("a", ["word"]))
    make(connection, "fresh", LATER)
    assert version_of(connection, "fresh") == 2
    assert connection.execute("SELECT conversation, mood FROM conversations").fetchall() == [("a", None)]
    # A server that runs on goes on; one that starts is told.
    store.append(talk("b"))
    with pytest.raises(StoreError, match=r"were made by a newer coda-postgres \(version 2; this one knows up to 1\)"):
        opened(fresh)


def test_a_migration_that_fails_changes_nothing(connection: Connection) -> None:
    make(connection, "fresh")
    with pytest.raises(psycopg.Error):
        make(connection, "fresh", (*LATER[:1], ("CREATE TABLE moods (id integer)", "SELECT nonsense")))
    assert version_of(connection, "fresh") == 1
    assert connection.execute("SELECT to_regclass('moods')").fetchone() == (None,)


def test_a_schema_of_another_program_is_left_alone(
    fresh: PostgresStoreConfig, connection: Connection, opened: Opened
) -> None:
    connection.execute("CREATE SCHEMA fresh")
    connection.execute("CREATE TABLE fresh.theirs (id integer)")
    with pytest.raises(StoreError, match="the schema fresh holds tables of another program"):
        opened(fresh)
    assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'fresh'").fetchone() == (1,)


def test_questions_that_servers_ask_all_the_time_have_an_index(connection: Connection) -> None:
    make(connection, "fresh")
    connection.execute("SET enable_seqscan = off")
    for query, index in (
        ("SELECT * FROM conversations WHERE closed_s IS NULL ORDER BY opened_s DESC, id DESC", "unfinished"),
        ("SELECT * FROM conversations WHERE user_id = 'ada' ORDER BY opened_s DESC, id DESC LIMIT 5", "by_user"),
        ("SELECT * FROM conversations WHERE last_s < 5 ORDER BY last_s LIMIT 1", "by_age"),
        ("SELECT * FROM passages WHERE said @@ '''word'''::tsquery", "said_idx"),
        (
            "SELECT * FROM events WHERE shard = 3 AND conversation = 3 AND sequence > 5 ORDER BY sequence",
            "events_03_pkey",
        ),
    ):
        plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {query}".encode()))
        assert index in plan, plan
