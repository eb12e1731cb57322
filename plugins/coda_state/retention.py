"""Dropping what is past its keeping from the sqlite store, and deleting conversations down to the bytes."""

from __future__ import annotations

import sqlite3
from typing import Final

from coda_core.errors import StoreError
from coda_core.storing.rows import LASTING
from coda_state.blobs import delete_blobs
from coda_state.session import Session
from coda_state.shards import events_of, passages_of, said_of, shard_of, wipe

__all__ = ["finish_wiping", "mark_deleted", "oldest", "trim"]

_TRIM_ROWS: Final = 200
"""Rows that one transaction deletes at most."""
_VACUUM_PAGES: Final = 200
"""Pages that are given back to the file system at once."""
_FREE_PAGES: Final = 1000
"""Unused pages that the database keeps for what comes, at least."""
_FREE_SHARE: Final = 8
"""It keeps one in so many of its pages unused: a deletion writes a sixteenth of the database anew, and to give that
room back each time, only to take it again, would take ten times as long as the deletion."""

_DOING: Final = "wipe what was deleted (it is no longer found, but its bytes may linger until this is done)"
_KEPT_TYPES: Final = "(" + ", ".join(f"'{name}'" for name in (*LASTING, "snapshot")) + ")"


def trim(session: Session, id: int, *, before: int | None, events: int, snapshots: int) -> None:
    """Drop the oldest events and snapshots of the conversation with row `id`; see `StateStore.trim`.

    No event from the number `before` on is dropped, where that is given.
    """
    table = events_of(shard_of(id))
    latest = session.read(f"SELECT max(sequence) FROM {table} WHERE conversation = ? AND type = 'snapshot'", id)[0][0]
    if latest is None:
        return
    for column, which, kept, end in (
        ("dropped_events", f"type NOT IN {_KEPT_TYPES}", events, latest if before is None else min(latest, before)),
        ("dropped_snapshots", "type = 'snapshot'", snapshots, latest),
    ):
        query = (
            f"SELECT sequence FROM {table} WHERE conversation = ? AND {which} ORDER BY sequence DESC LIMIT -1 OFFSET ?"
        )
        old = [sequence for (sequence,) in session.read(query, id, kept) if sequence < end]
        for start in range(0, len(old), _TRIM_ROWS):
            some = old[start : start + _TRIM_ROWS]
            with session.writing("drop old events") as connection:
                connection.executemany(
                    f"DELETE FROM {table} WHERE conversation = ? AND sequence = ?", [(id, each) for each in some]
                )
                connection.execute(
                    f"UPDATE conversations SET events = events - ?, {column} = {column} + ? WHERE id = ?",
                    (len(some), len(some), id),
                )


def oldest(session: Session, before_s: float) -> str | None:
    """Return the conversation whose latest event is the oldest and older than `before_s`."""
    query = "SELECT conversation FROM conversations WHERE last_s < ? ORDER BY last_s LIMIT 1"
    found = session.read(query, before_s)
    return found[0][0] if found else None


def mark_deleted(session: Session, conversation: str) -> None:
    """Remove a conversation's rows, and note that copies of them may be left."""
    with session.writing(f"delete conversation {conversation}") as connection:
        found = connection.execute("SELECT id FROM conversations WHERE conversation = ?", (conversation,)).fetchone()
        blobs = delete_blobs(connection, "conversation = ?", conversation)
        if found is not None:
            _delete_rows(connection, found[0])
        if found is not None or blobs:
            shard = shard_of(found[0]) if found is not None else 0
            connection.execute("INSERT OR IGNORE INTO erasures VALUES (?)", (shard,))


def finish_wiping(session: Session) -> None:
    """Write the shards anew in which copies of deleted rows may be left, each in a transaction of its own.

    Raises `StoreError` where that fails, and where another process still reads what was before; the marks of what is
    not done are kept.
    """
    marked = [shard for (shard,) in session.read("SELECT shard FROM erasures")]
    if not marked:
        return
    for shard in marked:
        with session.writing(_DOING) as connection:
            wipe(connection, shard)
    with session.connected(_DOING) as connection_now:
        assert connection_now is not None
        _give_back(connection_now)
        busy, _, _ = connection_now.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise StoreError(
            f"{session.path}: could not {_DOING}: another process is reading an old state. "
            "End that process, then delete once more or start Coda again."
        )
    with session.writing("note what was wiped") as connection:
        connection.executemany("DELETE FROM erasures WHERE shard = ?", [(shard,) for shard in marked])


def _delete_rows(connection: sqlite3.Connection, id: int) -> None:
    shard = shard_of(id)
    table, said = passages_of(shard), said_of(shard)
    connection.execute(
        f"INSERT INTO {said} ({said}, rowid, text) SELECT 'delete', id, text FROM {table} WHERE conversation = ?",
        (id,),
    )
    connection.execute(f"DELETE FROM {table} WHERE conversation = ?", (id,))
    connection.execute(f"DELETE FROM {events_of(shard)} WHERE conversation = ?", (id,))
    connection.execute("DELETE FROM conversations WHERE id = ?", (id,))


def _give_back(connection: sqlite3.Connection) -> None:
    """Return unused pages to the file system, some at a time: who waits to write gets in between."""
    while True:
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        surplus = free - max(_FREE_PAGES, pages // _FREE_SHARE)
        if surplus <= 0:
            return
        connection.execute(f"PRAGMA incremental_vacuum({min(_VACUUM_PAGES, surplus)})").fetchall()
        if connection.execute("PRAGMA freelist_count").fetchone()[0] >= free:
            return  # a database from before auto_vacuum keeps them
