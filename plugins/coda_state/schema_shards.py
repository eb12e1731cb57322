"""Version 2 of the schema: events in shards, what was said as passages with an index, retention, writers."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from coda_core.storing.passages import gather
from coda_state.chunks import padded
from coda_state.said_rows import put_passages, unsaid
from coda_state.shards import SHARDS, events_of, passages_of, said_of

__all__ = ["DIVIDED"]


def _shard(shard: int) -> Iterator[str]:
    events, passages, said = events_of(shard), passages_of(shard), said_of(shard)
    yield f"""
        CREATE TABLE {events} (
            conversation INTEGER NOT NULL,
            sequence INTEGER NOT NULL,
            type TEXT NOT NULL,
            version INTEGER NOT NULL,
            frame INTEGER,
            time_s REAL NOT NULL,
            payload TEXT NOT NULL,
            PRIMARY KEY (conversation, sequence)
        ) WITHOUT ROWID
        """
    yield f"""
        INSERT INTO {events}
        SELECT c.id, e.sequence, e.type, e.version, e.frame, e.time_s, e.payload
        FROM conversations c JOIN events e ON e.conversation = c.conversation WHERE c.id % {SHARDS} = {shard}
        """
    yield f"""
        CREATE TABLE {passages} (
            id INTEGER PRIMARY KEY,
            conversation INTEGER NOT NULL,
            extractor TEXT NOT NULL,
            speaker TEXT NOT NULL,
            start_s REAL NOT NULL,
            end_s REAL NOT NULL,
            time_s REAL NOT NULL,
            last_sequence INTEGER NOT NULL,
            words TEXT NOT NULL,
            text TEXT NOT NULL
        )
        """
    yield f"CREATE INDEX passages_by_conversation_{shard:02d} ON {passages} (conversation)"
    yield (
        f"CREATE VIRTUAL TABLE {said} USING fts5(text, content='{passages}', content_rowid='id', "
        "tokenize='unicode61 remove_diacritics 2')"
    )


def _view() -> str:
    """One view of all events, for a person who looks into the database."""
    selected = (
        "SELECT c.conversation, e.sequence, e.type, e.version, e.frame, e.time_s, e.payload "
        f"FROM {events_of(shard)} e JOIN conversations c ON c.id = e.conversation"
        for shard in range(SHARDS)
    )
    return "CREATE VIEW events AS " + " UNION ALL ".join(selected)


def _pad_blobs(connection: sqlite3.Connection) -> None:
    for (id,) in connection.execute("SELECT rowid FROM blob_chunks").fetchall():
        (content,) = connection.execute("SELECT content FROM blob_chunks WHERE rowid = ?", (id,)).fetchone()
        connection.execute("UPDATE blob_chunks SET content = ? WHERE rowid = ?", (padded(content), id))


def _gather_passages(connection: sqlite3.Connection) -> None:
    for id, closed_s in connection.execute("SELECT id, closed_s FROM conversations").fetchall():
        put_passages(connection, id, gather((), unsaid(connection, id), over=closed_s is not None))


DIVIDED: Final[Sequence[str | Callable[[sqlite3.Connection], None]]] = (
    # One row for each shard in which a deletion may have left copies. Of an older database: any will do, because
    # all events have just been written anew, and the tables that all share are wiped with any shard.
    "ALTER TABLE erasures RENAME TO erasures_before",
    "CREATE TABLE erasures (shard INTEGER PRIMARY KEY)",
    "INSERT INTO erasures SELECT 0 FROM erasures_before LIMIT 1",
    "DROP TABLE erasures_before",
    "ALTER TABLE conversations ADD COLUMN last_s REAL NOT NULL DEFAULT 0",
    "ALTER TABLE conversations ADD COLUMN dropped_events INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE conversations ADD COLUMN dropped_snapshots INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE conversations ADD COLUMN writer TEXT",
    """
    UPDATE conversations SET last_s = coalesce(
        (SELECT max(time_s) FROM events WHERE events.conversation = conversations.conversation), opened_s
    )
    """,
    "CREATE INDEX conversations_unfinished ON conversations (opened_s) WHERE closed_s IS NULL",
    *(statement for shard in range(SHARDS) for statement in _shard(shard)),
    "DROP TABLE events",
    _view(),
    _pad_blobs,
    _gather_passages,
)
