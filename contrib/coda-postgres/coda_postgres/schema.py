"""The tables, and how those of an older version are brought up to date."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Final

import psycopg
from coda_core import StoreError
from psycopg import sql

__all__ = ["MIGRATIONS", "SHARDS", "Migration", "lock_class", "make", "shard_of", "version_of"]

Connection = psycopg.Connection[Any]
Migration = Sequence[str]
"""The statements that lead from one version of the schema to the next."""

SHARDS: Final = 8
"""Parts of each large table, so that one can be written anew in little time."""

_SHARDED: Final = tuple(
    f"CREATE TABLE {table}_{shard:02d} PARTITION OF {table} FOR VALUES IN ({shard})"
    for table in ("events", "passages", "blob_parts")
    for shard in range(SHARDS)
)

_FIRST: Final[Migration] = (
    # Who uses the database now. A row outlives its server where that was killed.
    """
    CREATE TABLE servers (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL,
        lease_s double precision NOT NULL,
        seen timestamptz NOT NULL DEFAULT clock_timestamp()
    )
    """,
    """
    CREATE TABLE conversations (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        conversation text NOT NULL UNIQUE,
        opened_s double precision NOT NULL,
        closed_s double precision,
        user_id text,
        events bigint NOT NULL,
        last_sequence bigint NOT NULL,
        last_s double precision NOT NULL,
        dropped_events bigint NOT NULL DEFAULT 0,
        dropped_snapshots bigint NOT NULL DEFAULT 0,
        server integer
    )
    """,
    "CREATE INDEX conversations_by_time ON conversations (opened_s DESC, id DESC)",
    "CREATE INDEX conversations_by_user ON conversations (user_id, opened_s DESC, id DESC)",
    "CREATE INDEX conversations_by_age ON conversations (last_s)",
    "CREATE INDEX conversations_unfinished ON conversations (opened_s DESC, id DESC) WHERE closed_s IS NULL",
    """
    CREATE TABLE events (
        shard smallint NOT NULL,
        conversation bigint NOT NULL,
        sequence bigint NOT NULL,
        type text NOT NULL,
        version integer NOT NULL,
        frame bigint,
        time_s double precision NOT NULL,
        payload text NOT NULL,
        PRIMARY KEY (shard, conversation, sequence)
    ) PARTITION BY LIST (shard)
    """,
    """
    CREATE TABLE passages (
        shard smallint NOT NULL,
        id bigint GENERATED ALWAYS AS IDENTITY,
        conversation bigint NOT NULL,
        extractor text NOT NULL,
        speaker text NOT NULL,
        start_s double precision NOT NULL,
        end_s double precision NOT NULL,
        time_s double precision NOT NULL,
        last_sequence bigint NOT NULL,
        words text NOT NULL,
        said tsvector NOT NULL,
        PRIMARY KEY (shard, conversation, id)
    ) PARTITION BY LIST (shard)
    """,
    "CREATE INDEX passages_said ON passages USING gin (said)",
    # Of each name the latest blob counts; its parts come first, so that it is there whole or not at all.
    """
    CREATE TABLE blobs (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        conversation text NOT NULL,
        name text NOT NULL,
        shard smallint NOT NULL,
        parts bigint NOT NULL,
        UNIQUE (conversation, name)
    )
    """,
    """
    CREATE TABLE blob_parts (
        shard smallint NOT NULL,
        blob bigint NOT NULL,
        part bigint NOT NULL,
        content bytea NOT NULL,
        PRIMARY KEY (shard, blob, part)
    ) PARTITION BY LIST (shard)
    """,
    # What was compressed already, or is noise, costs time to compress again.
    "ALTER TABLE blob_parts ALTER COLUMN content SET STORAGE EXTERNAL",
    *_SHARDED,
    # A table in whose files bytes of deleted rows may still lie.
    "CREATE TABLE erasures (relation text PRIMARY KEY)",
)

MIGRATIONS: Final[Sequence[Migration]] = (_FIRST,)
"""Version n of the schema is what the first n migrations make. One that was released is never changed."""


def shard_of(id: int) -> int:
    """Return the shard of the conversation, or blob, with this row id."""
    return id % SHARDS


def lock_class(schema: str) -> int:
    """Return the first key of this schema's advisory locks: a number of 31 bits."""
    return zlib.crc32(f"coda {schema}".encode()) >> 1


def version_of(connection: Connection, schema: str) -> int:
    """Return the version of the tables, 0 where there are none; raises `StoreError` where the schema is not Coda's."""
    query = (
        "SELECT (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s), "
        "to_regclass(%s) IS NOT NULL"
    )
    tables, ours = connection.execute(query, (schema, f"{schema}.coda_version")).fetchone() or (0, False)
    if ours:
        query_version = sql.SQL("SELECT version FROM {}").format(sql.Identifier(schema, "coda_version"))
        (version,) = connection.execute(query_version).fetchone() or (0,)
        return int(version)
    if tables:
        raise StoreError(f"the schema {schema} holds tables of another program; name another schema")
    return 0


def make(connection: Connection, schema: str, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring the tables to the newest version, whole or not at all. Of servers that start at once, one does it.

    Raises `StoreError` where they are of a newer version.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", (lock_class(schema),))
        version = version_of(connection, schema)
        if version > len(migrations):
            raise StoreError(
                f"the tables in schema {schema} were made by a newer coda-postgres (version {version}; this one knows "
                f"up to {len(migrations)}). Install that version, or name another schema."
            )
        if version == len(migrations):
            return
        if version == 0:
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
            connection.execute("CREATE TABLE coda_version (version integer NOT NULL)")
            connection.execute("INSERT INTO coda_version VALUES (0)")
        for migration in migrations[version:]:
            for statement in migration:
                connection.execute(statement.encode())
        connection.execute("UPDATE coda_version SET version = %s", (len(migrations),))
