"""The state store `sqlite`."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

from coda_core.errors import StoreError
from coda_core.events import Event
from coda_core.interfaces import Context, ConversationRow
from coda_state.chunks import recut
from coda_state.config import SqliteStoreConfig
from coda_state.database import open_database
from coda_state.rows import EventRow, advance, decode, encode
from coda_state.sqlite_faults import explained

__all__ = ["SqliteStore", "open_sqlite_store"]

PAGE_EVENTS: Final = 256
"""Events that are read at once."""
CHUNK_BYTES: Final = 2**20
"""Length of a stored part of a blob; the last one may be shorter."""

_ROW_COLUMNS: Final = "conversation, opened_s, closed_s, user_id, events, last_sequence"


class SqliteStore:
    """Keeps conversations in one SQLite database, in WAL mode: other processes may read it at any time.

    One connection, used by one thread at a time: the kernel opens and closes the store around the life of the
    thread F that makes all other calls. A lock keeps a late call and `close` apart. No iterator holds a cursor or a
    transaction open between two items, so it may be left half-read.
    """

    def __init__(self, path: Path, busy_timeout_s: float, logger: logging.Logger) -> None:
        self._path = path
        self._busy_timeout_s = busy_timeout_s
        self._logger = logger
        # Reentrant: a blob may be made of what `get_blob` of the same store yields.
        self._lock = threading.RLock()
        self._opened: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the database, made where missing; raises `StoreError` where that cannot be."""
        with self._lock:
            self._opened = open_database(self._path, self._busy_timeout_s)
            try:
                self._erase()
            except StoreError as error:
                self._logger.warning("%s", error)

    def close(self) -> None:
        """Close the database. Does nothing where it is not open."""
        with self._lock, explained(self._path, "close the database"):
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def append(self, events: Sequence[Event]) -> None:
        conversations = encode(events)
        if not conversations:
            return
        with self._writing("store events") as connection:
            for conversation, rows in conversations.items():
                self._append(connection, conversation, rows)

    def events(self, conversation: str, after: int = 0) -> Iterator[Event]:
        query = "SELECT sequence, payload FROM events WHERE conversation = ? AND sequence > ? ORDER BY sequence LIMIT ?"
        while page := self._read(query, conversation, after, PAGE_EVENTS):
            for _, payload in page:
                yield decode(payload, conversation)
            after = page[-1][0]

    def find(self, *, user_id: str | None = None, limit: int = 100) -> Sequence[ConversationRow]:
        where, values = ("", ()) if user_id is None else ("WHERE user_id = ?", (user_id,))
        query = f"SELECT {_ROW_COLUMNS} FROM conversations {where} ORDER BY opened_s DESC, id DESC LIMIT ?"
        return [_conversation_row(row) for row in self._read(query, *values, max(limit, 0))]

    def put_blob(self, conversation: str, name: str, chunks: Iterable[bytes]) -> None:
        with self._writing(f"store {name!r}") as connection:
            _delete_blobs(connection, "conversation = ? AND name = ?", conversation, name)
            insert = "INSERT INTO blobs (conversation, name, bytes) VALUES (?, ?, 0)"
            blob = connection.execute(insert, (conversation, name)).lastrowid
            size = 0
            for part, content in enumerate(recut(chunks, CHUNK_BYTES)):
                connection.execute("INSERT INTO blob_chunks VALUES (?, ?, ?)", (blob, part, content))
                size += len(content)
            connection.execute("UPDATE blobs SET bytes = ? WHERE id = ?", (size, blob))

    def get_blob(self, conversation: str, name: str) -> Iterator[bytes]:
        query = "SELECT id, bytes FROM blobs WHERE conversation = ? AND name = ?"
        found = self._read(query, conversation, name)
        if not found:
            raise StoreError(f"conversation {conversation} has no stored {name!r}")
        ((blob, size),) = found
        return self._chunks(blob, size, f"{name!r} of conversation {conversation}")

    def delete(self, conversation: str) -> None:
        """Remove a conversation's events and blobs for good. Does nothing where there are none.

        Nothing of it is left in the files when this returns. For that the whole database is written anew, which
        takes time in proportion to its size, and for its duration up to twice its size on the disk. Where this fails
        half-way (the disk is full, another process goes on reading an old state), the conversation is gone but its
        bytes may linger: the error says so, and a later `delete` or `open` finishes the work.
        """
        with self._writing(f"delete conversation {conversation}") as connection:
            blobs = _delete_blobs(connection, "conversation = ?", conversation)
            events = connection.execute("DELETE FROM events WHERE conversation = ?", (conversation,)).rowcount
            connection.execute("DELETE FROM conversations WHERE conversation = ?", (conversation,))
            if blobs or events:
                connection.execute("INSERT INTO erasures DEFAULT VALUES")
        self._erase()

    def _append(self, connection: sqlite3.Connection, conversation: str, rows: dict[int, EventRow]) -> None:
        found = self._read(f"SELECT {_ROW_COLUMNS} FROM conversations WHERE conversation = ?", conversation)
        known = _conversation_row(found[0]) if found else None
        new = rows
        if known is not None and min(rows) <= known.last_sequence:
            query = "SELECT sequence FROM events WHERE conversation = ? AND sequence BETWEEN ? AND ?"
            stored = {sequence for (sequence,) in self._read(query, conversation, min(rows), max(rows))}
            new = {sequence: row for sequence, row in rows.items() if sequence not in stored}
        if not new:
            return
        connection.executemany(
            "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (conversation, sequence, row.type, row.version, row.event.frame, row.event.time_s, row.payload)
                for sequence, row in new.items()
            ],
        )
        summed = advance(known, [row.event for row in new.values()])
        connection.execute(
            f"INSERT INTO conversations ({_ROW_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (conversation) "
            "DO UPDATE SET opened_s = excluded.opened_s, closed_s = excluded.closed_s, user_id = excluded.user_id, "
            "events = excluded.events, last_sequence = excluded.last_sequence",
            (conversation, summed.opened_s, summed.closed_s, summed.user_id, summed.events, summed.last_sequence),
        )

    def _chunks(self, blob: int, size: int, name: str) -> Iterator[bytes]:
        for part in range(-(-size // CHUNK_BYTES)):
            found = self._read("SELECT content FROM blob_chunks WHERE blob = ? AND part = ?", blob, part)
            if not found:
                raise StoreError(f"{name} was replaced or deleted while it was being read; read it again")
            yield found[0][0]

    def _erase(self) -> None:
        """Finish the deletions whose bytes may still be in the files."""
        if not self._read("SELECT 1 FROM erasures LIMIT 1"):
            return
        doing = "wipe what was deleted (it is no longer found, but its bytes may linger until this is done)"
        with self._lock, explained(self._path, doing):
            # secure_delete alone is not enough: where SQLite once moved rows between pages, old copies stay behind.
            self._connection.execute("VACUUM")
            busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StoreError(
                f"{self._path}: could not {doing}: another process is reading an old state. "
                "End that process, then delete once more or start Coda again."
            )
        with self._writing("note what was wiped") as connection:
            connection.execute("DELETE FROM erasures")

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            raise StoreError(f"{self._path}: the store is closed; open another one")
        return self._opened

    def _read(self, query: str, *values: object) -> list[Any]:
        with self._lock, explained(self._path, "read"):
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _writing(self, doing: str) -> Iterator[sqlite3.Connection]:
        """One transaction, durable at the end, undone where anything fails."""
        with self._lock, explained(self._path, doing):
            connection = self._connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise


def _delete_blobs(connection: sqlite3.Connection, which: str, *values: str) -> int:
    connection.execute(f"DELETE FROM blob_chunks WHERE blob IN (SELECT id FROM blobs WHERE {which})", values)
    return connection.execute(f"DELETE FROM blobs WHERE {which}", values).rowcount


def _conversation_row(row: Sequence[Any]) -> ConversationRow:
    conversation, opened_s, closed_s, user_id, events, last_sequence = row
    return ConversationRow(
        conversation=conversation,
        opened_s=opened_s,
        closed_s=closed_s,
        user_id=user_id,
        events=events,
        last_sequence=last_sequence,
    )


@asynccontextmanager
async def open_sqlite_store(config: SqliteStoreConfig, context: Context) -> AsyncIterator[SqliteStore]:
    """Yield the store that `config` describes, opened and closed without blocking the event loop."""
    store = SqliteStore(context.base_dir / config.path, config.busy_timeout_seconds, context.logger)
    try:
        await asyncio.to_thread(store.open)
        yield store
    finally:
        # Also where opening was cancelled: its thread goes on, and closing waits for it.
        await asyncio.to_thread(store.close)
