"""The state store `sqlite`."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from coda_core.errors import ConversationTaken, StoreError
from coda_core.events import Closed, Event
from coda_core.interfaces import Context, ConversationRow
from coda_core.state import Passage
from coda_core.storing.rows import ROW_COLUMNS, EventRow, advance, conversation_row, decode, encode
from coda_core.text import ExtractedText
from coda_state.blobs import Blobs
from coda_state.config import SqliteStoreConfig
from coda_state.database import set_aside
from coda_state.retention import finish_wiping, mark_deleted, oldest, trim
from coda_state.said import Said
from coda_state.session import Session
from coda_state.shards import events_of, shard_of
from coda_state.sqlite_faults import DatabaseDamaged
from coda_state.writers import Writer

__all__ = ["SqliteStore", "open_sqlite_store"]

PAGE_EVENTS: Final = 256
"""Events that are read at once."""


class SqliteStore:
    """Keeps conversations in one SQLite database, in WAL mode: other processes may read it at any time.

    The file is made with the first event or blob. Methods may be called on any thread; they wait for each other. No
    iterator holds a cursor or a transaction open between two items, so it may be left half-read.
    """

    def __init__(self, path: Path, busy_timeout_s: float, logger: logging.Logger) -> None:
        self._session = Session(path, busy_timeout_s)
        self._blobs = Blobs(self._session)
        self._said = Said(self._session)
        self._writer = Writer(path)
        self._logger = logger

    def open(self) -> None:
        """Open the database where there is one; raises `StoreError` where that cannot be, or it could not be made."""
        self._session.open()
        if self._session.damaged is not None:
            self._logger.error("%s", self._session.damaged)
            return
        try:
            finish_wiping(self._session)
        except StoreError as error:
            self._logger.warning("%s", error)

    def close(self) -> None:
        """Close the database. Does nothing where it is not open."""
        self._session.close()
        self._writer.release()

    def append(self, events: Sequence[Event]) -> None:
        conversations = encode(events)
        if not conversations:
            return
        try:
            self._append(conversations)
        except DatabaseDamaged as error:
            self._set_aside(error)
            self._append(conversations)

    def events(self, conversation: str, after: int = 0) -> Iterator[Event]:
        id = self._id(conversation)
        if id is None:
            return
        query = (
            f"SELECT sequence, payload FROM {events_of(shard_of(id))} WHERE conversation = ? AND sequence > ? "
            "ORDER BY sequence LIMIT ?"
        )
        while page := self._session.read(query, id, after, PAGE_EVENTS):
            for _, payload in page:
                yield decode(payload, conversation)
            after = page[-1][0]

    def find(
        self, *, user_id: str | None = None, unfinished: bool = False, limit: int = 100
    ) -> Sequence[ConversationRow]:
        where, values = ("TRUE", ()) if user_id is None else ("user_id = ?", (user_id,))
        if unfinished:
            where += " AND closed_s IS NULL"
        query = f"SELECT {ROW_COLUMNS}, writer FROM conversations WHERE {where} ORDER BY opened_s DESC, id DESC LIMIT ?"
        rows = self._session.read(query, *values, -1 if unfinished else max(limit, 0))
        if unfinished:
            alive = self._writer.alive()
            rows = [row for row in rows if row[-1] not in alive][: max(limit, 0)]
        return [conversation_row(row) for row in rows]

    def claim(self, conversation: str) -> bool:
        with self._session.writing(f"claim conversation {conversation}") as connection:
            query = "SELECT writer FROM conversations WHERE conversation = ?"
            found = connection.execute(query, (conversation,)).fetchone()
            if found is not None and found[0] in self._writer.alive():
                return False
            self._writer.claim()
            connection.execute(
                "UPDATE conversations SET writer = ? WHERE conversation = ?", (self._writer.token, conversation)
            )
            return True

    def release(self, conversation: str) -> None:
        if self._id(conversation) is not None:
            with self._session.writing(f"release conversation {conversation}") as connection:
                connection.execute(
                    "UPDATE conversations SET writer = NULL WHERE conversation = ? AND writer = ?",
                    (conversation, self._writer.token),
                )

    def put_blob(self, conversation: str, name: str, chunks: Iterable[bytes]) -> None:
        self._blobs.put(conversation, name, chunks)

    def get_blob(self, conversation: str, name: str) -> Iterator[bytes]:
        return self._blobs.get(conversation, name)

    def has_blob(self, conversation: str, name: str) -> bool:
        return self._blobs.has(conversation, name)

    def delete_blob(self, conversation: str, name: str) -> None:
        self._blobs.delete(conversation, name)

    def passages(self, conversation: str) -> Iterator[Passage]:
        id = self._id(conversation)
        if id is not None:
            yield from self._said.passages(conversation, id)

    def search(self, text: str, *, user_id: str | None = None, limit: int = 100) -> Sequence[Passage]:
        return self._said.search(text, user_id, limit)

    def trim(self, conversation: str, *, events: int, snapshots: int) -> None:
        id = self._id(conversation)
        if id is not None:
            before = self._said.first_growing(conversation, id)
            trim(self._session, id, before=before, events=events, snapshots=snapshots)

    def purge(self, before_s: float) -> str | None:
        """Delete one conversation that is too old. The call that finds no more wipes what the others left behind."""
        conversation = oldest(self._session, before_s)
        if conversation is None:
            finish_wiping(self._session)
        else:
            self._said.forget(conversation)
            mark_deleted(self._session, conversation)
        return conversation

    def delete(self, conversation: str) -> None:
        """Remove all of a conversation for good. Does nothing where there is none.

        Nothing of it is left in the files when this returns. For that a small part of the database is written anew
        (see `coda_state.shards`). Where this fails half-way (the disk is full, another process goes on reading an
        old state), the conversation is gone but its bytes may linger: the error says so, and a later `delete` or
        `open` finishes the work.
        """
        self._said.forget(conversation)
        mark_deleted(self._session, conversation)
        finish_wiping(self._session)

    def _append(self, conversations: dict[str, dict[int, EventRow]]) -> None:
        try:
            with self._session.writing("store events") as connection:
                for conversation, rows in conversations.items():
                    self._append_to(connection, conversation, rows)
        except BaseException:
            for conversation in conversations:
                self._said.forget(conversation)
            raise

    def _append_to(self, connection: sqlite3.Connection, conversation: str, rows: dict[int, EventRow]) -> None:
        query = f"SELECT {ROW_COLUMNS}, writer, id FROM conversations WHERE conversation = ?"
        found = connection.execute(query, (conversation,)).fetchone()
        known, new = None, rows
        if found is None:
            self._said.forget(conversation)
        else:
            known = conversation_row(found)
            if found[-2] not in (None, self._writer.token):
                self._said.forget(conversation)
                if found[-2] in self._writer.alive():
                    raise ConversationTaken(conversation)
        if known is not None and min(rows) <= known.last_sequence:
            id = found[-1]
            query = (
                f"SELECT sequence FROM {events_of(shard_of(id))} WHERE conversation = ? AND sequence BETWEEN ? AND ?"
            )
            stored = {sequence for (sequence,) in connection.execute(query, (id, min(rows), max(rows)))}
            new = {sequence: row for sequence, row in rows.items() if sequence not in stored}
        if not new:
            return
        told = [row.event for row in new.values()]
        id = self._put_row(connection, advance(known, told), None if found is None else found[-1])
        connection.executemany(
            f"INSERT INTO {events_of(shard_of(id))} VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (id, sequence, row.type, row.version, row.event.frame, row.event.time_s, row.payload)
                for sequence, row in new.items()
            ],
        )
        texts = [event for event in told if isinstance(event, ExtractedText)]
        over = any(isinstance(event, Closed) for event in told)
        if texts or over:
            self._said.keep(connection, conversation, id, texts, over=over)

    def _put_row(self, connection: sqlite3.Connection, row: ConversationRow, id: int | None) -> int:
        self._writer.claim()
        values = (row.opened_s, row.closed_s, row.user_id, row.events, row.last_sequence, row.last_s)
        if id is not None:
            connection.execute(
                "UPDATE conversations SET opened_s = ?, closed_s = ?, user_id = ?, events = ?, last_sequence = ?, "
                "last_s = ?, writer = ? WHERE id = ?",
                (*values, self._writer.token, id),
            )
            return id
        made = connection.execute(
            "INSERT INTO conversations (conversation, opened_s, closed_s, user_id, events, last_sequence, last_s, "
            "writer) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (row.conversation, *values, self._writer.token),
        ).lastrowid
        assert made is not None
        return made

    def _set_aside(self, error: DatabaseDamaged) -> None:
        """Put a damaged database out of the way, so that what happens from now on is stored; raises `error` if not."""
        path = self._session.path
        self._session.close()
        try:
            aside = set_aside(path, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
        except OSError as failure:
            raise error from failure
        finally:
            self._session.open()
        if aside is None:
            raise error
        self._logger.critical("%s It is now %s, and a new database takes its place.", error, aside)

    def _id(self, conversation: str) -> int | None:
        found = self._session.read("SELECT id FROM conversations WHERE conversation = ?", conversation)
        return found[0][0] if found else None


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
