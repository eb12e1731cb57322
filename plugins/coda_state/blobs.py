"""The blobs of the sqlite store: bytes in parts, each of which ends in pages of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Final

from coda_core.errors import StoreError
from coda_core.storing.chunks import recut
from coda_state.chunks import padded, unpadded
from coda_state.session import Session

__all__ = ["Blobs", "delete_blobs"]

CHUNK_BYTES: Final = 2**20
"""Length of a stored part of a blob; the last one may be shorter."""


class Blobs:
    """Reads and writes blobs through a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def put(self, conversation: str, name: str, chunks: Iterable[bytes]) -> None:
        with self._session.writing(f"store {name!r}") as connection:
            delete_blobs(connection, "conversation = ? AND name = ?", conversation, name)
            insert = "INSERT INTO blobs (conversation, name, bytes) VALUES (?, ?, 0)"
            blob = connection.execute(insert, (conversation, name)).lastrowid
            size = 0
            for part, content in enumerate(recut(chunks, CHUNK_BYTES)):
                connection.execute("INSERT INTO blob_chunks VALUES (?, ?, ?)", (blob, part, padded(content)))
                size += len(content)
            connection.execute("UPDATE blobs SET bytes = ? WHERE id = ?", (size, blob))

    def get(self, conversation: str, name: str) -> Iterator[bytes]:
        query = "SELECT id, bytes FROM blobs WHERE conversation = ? AND name = ?"
        found = self._session.read(query, conversation, name)
        if not found:
            raise StoreError(f"conversation {conversation} has no stored {name!r}")
        ((blob, size),) = found
        return self._chunks(blob, size, f"{name!r} of conversation {conversation}")

    def has(self, conversation: str, name: str) -> bool:
        return bool(self._session.read("SELECT 1 FROM blobs WHERE conversation = ? AND name = ?", conversation, name))

    def delete(self, conversation: str, name: str) -> None:
        if self.has(conversation, name):
            with self._session.writing(f"drop {name!r}") as connection:
                delete_blobs(connection, "conversation = ? AND name = ?", conversation, name)

    def _chunks(self, blob: int, size: int, name: str) -> Iterator[bytes]:
        for part in range(-(-size // CHUNK_BYTES)):
            query = "SELECT content FROM blob_chunks WHERE blob = ? AND part = ?"
            found = self._session.read(query, blob, part)
            if not found:
                raise StoreError(f"{name} was replaced or deleted while it was being read; read it again")
            yield unpadded(found[0][0])


def delete_blobs(connection: sqlite3.Connection, which: str, *values: str) -> int:
    """Delete the blobs for which the SQL condition `which` holds; return how many."""
    connection.execute(f"DELETE FROM blob_chunks WHERE blob IN (SELECT id FROM blobs WHERE {which})", values)
    return connection.execute(f"DELETE FROM blobs WHERE {which}", values).rowcount
