"""Blobs: bytes under a name, in parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from coda_core import StoreError
from coda_core.storing import recut

from coda_postgres.columns import to_column
from coda_postgres.schema import Connection, shard_of
from coda_postgres.session import Session

__all__ = ["Blobs", "delete_blobs"]

PART_BYTES: Final = 2**20
"""Length of a stored part; the last one may be shorter."""


class Blobs:
    """Reads and writes blobs through a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def put(self, conversation: str, name: str, chunks: Iterable[bytes]) -> None:
        with self._session.writing(f"store {name!r}") as connection:
            (id,) = connection.execute("SELECT nextval(pg_get_serial_sequence('blobs', 'id'))").fetchone() or (0,)
            parts = 0
            for content in recut(chunks, PART_BYTES):
                connection.execute("INSERT INTO blob_parts VALUES (%s, %s, %s, %b)", (shard_of(id), id, parts, content))
                parts += 1
            delete_blobs(connection, conversation, name)
            connection.execute(
                "INSERT INTO blobs (id, conversation, name, shard, parts) OVERRIDING SYSTEM VALUE "
                "VALUES (%s, %s, %s, %s, %s)",
                (id, to_column(conversation), to_column(name), shard_of(id), parts),
            )

    def get(self, conversation: str, name: str) -> Iterator[bytes]:
        found = self._session.read(
            "SELECT id, parts FROM blobs WHERE conversation = %s AND name = %s",
            (to_column(conversation), to_column(name)),
        )
        if not found:
            raise StoreError(f"conversation {conversation} has no stored {name!r}")
        ((id, parts),) = found
        return self._parts(id, parts, f"{name!r} of conversation {conversation}")

    def has(self, conversation: str, name: str) -> bool:
        query = "SELECT FROM blobs WHERE conversation = %s AND name = %s"
        return bool(self._session.read(query, (to_column(conversation), to_column(name))))

    def delete(self, conversation: str, name: str) -> None:
        if self.has(conversation, name):
            with self._session.writing(f"drop {name!r}") as connection:
                delete_blobs(connection, conversation, name)

    def _parts(self, id: int, parts: int, name: str) -> Iterator[bytes]:
        query = "SELECT content FROM blob_parts WHERE shard = %s AND blob = %s AND part = %s"
        for part in range(parts):
            found = self._session.read(query, (shard_of(id), id, part))
            if not found:
                raise StoreError(f"{name} was replaced or deleted while it was being read; read it again")
            yield found[0][0]


def delete_blobs(connection: Connection, conversation: str, name: str | None = None) -> set[int]:
    """Delete a conversation's blobs, all or those of one name; return the shards that they lay in."""
    gone = connection.execute(
        "DELETE FROM blobs WHERE conversation = %s AND name = coalesce(%s, name) RETURNING shard, id",
        (to_column(conversation), to_column(name)),
    ).fetchall()
    for shard, id in gone:
        connection.execute("DELETE FROM blob_parts WHERE shard = %s AND blob = %s", (shard, id))
    return {shard for shard, _ in gone}
