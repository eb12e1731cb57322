"""The state store `postgres`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from coda_core import Context, Event, StoreError
from coda_core.interfaces import ConversationRow
from coda_core.state import Passage
from coda_core.storing import Growing, decode, encode, gather, wanted
from coda_core.text import ExtractedText

from coda_postgres.appending import COLUMNS, append, row_of
from coda_postgres.blobs import Blobs
from coda_postgres.columns import from_column, to_column
from coda_postgres.config import PostgresStoreConfig
from coda_postgres.passages import COLUMNS as PASSAGE_COLUMNS
from coda_postgres.passages import passage_of, query_of, unsaid
from coda_postgres.presence import ALIVE, Presence
from coda_postgres.retention import finish_wiping, mark_deleted, oldest, trim
from coda_postgres.schema import shard_of
from coda_postgres.session import Session

__all__ = ["PostgresStore", "open_postgres_store"]

_PAGE_EVENTS: Final = 256
_PAGE_PASSAGES: Final = 256
_ALL: Final = 2**31 - 1


class PostgresStore:
    """Keeps conversations in one PostgreSQL database that several servers share: a `SharedStore`.

    The tables are made with the first event or blob. Methods may be called on any thread; they wait for each other. No
    iterator holds a cursor or a transaction open between two items, so it may be left half-read.
    """

    def __init__(self, config: PostgresStoreConfig, logger: logging.Logger) -> None:
        self._session = Session(config, logger)
        self._presence = Presence(config, logger)
        self._blobs = Blobs(self._session)
        self._growing = Growing()
        self._logger = logger

    def open(self) -> None:
        """Connect; raises `StoreError` where that cannot be, or where the tables are not ours to use."""
        self._session.open()
        try:
            finish_wiping(self._session)
        except StoreError as error:
            self._logger.warning("%s", error)

    def close(self) -> None:
        """Disconnect, and give this server's conversations free. Does nothing where it is not open."""
        self._presence.end()
        self._session.close()

    def append(self, events: Sequence[Event]) -> None:
        conversations = encode(events)
        if not conversations:
            return
        try:
            with self._session.writing("store events") as connection:
                append(connection, conversations, self._presence, self._growing)
        except BaseException:
            for conversation in conversations:
                self._growing.forget(conversation)
            raise

    def claim(self, conversation: str) -> bool:
        with self._session.writing(f"claim conversation {conversation}") as connection:
            # The row first, and then a new look at who lives: of several that claim it, the later ones see the first.
            found = connection.execute(
                "SELECT id, server FROM conversations WHERE conversation = %s FOR UPDATE", (to_column(conversation),)
            ).fetchone()
            if found is None:
                return True
            id, owner = found
            server = self._presence.begin()
            if self._presence.others(connection, {owner}):
                return False
            if owner != server:
                self._growing.forget(conversation)
                connection.execute("UPDATE conversations SET server = %s WHERE id = %s", (server, id))
            return True

    def release(self, conversation: str) -> None:
        if self._presence.id is not None:
            with self._session.writing(f"release conversation {conversation}") as connection:
                connection.execute(
                    "UPDATE conversations SET server = NULL WHERE conversation = %s AND server = %s",
                    (to_column(conversation), self._presence.id),
                )

    def events(self, conversation: str, after: int = 0) -> Iterator[Event]:
        id = self._id(conversation)
        if id is None:
            return
        query = (
            "SELECT sequence, payload FROM events WHERE shard = %s AND conversation = %s AND sequence > %s "
            "ORDER BY sequence LIMIT %s"
        )
        while page := self._session.read(query, (shard_of(id), id, after, _PAGE_EVENTS)):
            for _, payload in page:
                yield decode(payload, conversation)
            after = page[-1][0]

    def find(
        self, *, user_id: str | None = None, unfinished: bool = False, limit: int = 100
    ) -> Sequence[ConversationRow]:
        rows = self._session.read(
            f"SELECT {COLUMNS} FROM conversations WHERE (%(user)s::text IS NULL OR user_id = %(user)s) "
            "AND (NOT %(unfinished)s OR closed_s IS NULL AND (server IS NULL OR server = %(server)s "
            f"OR server NOT IN ({ALIVE.replace('%s', '%(locks)s')}))) ORDER BY opened_s DESC, id DESC LIMIT %(limit)s",
            {
                "user": to_column(user_id),
                "unfinished": unfinished,
                "server": self._presence.id,
                "locks": self._presence.lock_class,
                "limit": min(max(limit, 0), _ALL),
            },
        )
        return [row_of(row) for row in rows]

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
        if id is None:
            return
        query = (
            f"SELECT {PASSAGE_COLUMNS} FROM passages p WHERE shard = %s AND conversation = %s AND id > %s "
            "ORDER BY id LIMIT %s"
        )
        after = 0
        while page := self._session.read(query, (shard_of(id), id, after, _PAGE_PASSAGES)):
            for row in page:
                yield passage_of(row, conversation)
            after = page[-1][0]
        for draft in gather((), self._unsaid(id), over=False):
            yield draft.passage(conversation)

    def search(self, text: str, *, user_id: str | None = None, limit: int = 100) -> Sequence[Passage]:
        asked = wanted(text)
        if not asked or limit <= 0:
            return []
        rows = self._session.read(
            f"SELECT {PASSAGE_COLUMNS}, c.conversation FROM passages p JOIN conversations c ON c.id = p.conversation "
            "WHERE p.said @@ %(query)s::tsquery AND (%(user)s::text IS NULL OR c.user_id = %(user)s) "
            "ORDER BY p.time_s DESC, p.id DESC LIMIT %(limit)s",
            {"query": query_of(asked), "user": to_column(user_id), "limit": min(limit, _ALL)},
        )
        return [passage_of(row, from_column(row[-1]) or "") for row in rows]

    def trim(self, conversation: str, *, events: int, snapshots: int) -> None:
        id = self._id(conversation)
        if id is not None:
            before = self._growing.first(conversation, lambda: self._unsaid(id))
            trim(self._session, id, before=before, events=events, snapshots=snapshots)

    def purge(self, before_s: float) -> str | None:
        """Delete one conversation that is too old. The call that finds no more wipes what the others left behind."""
        conversation = oldest(self._session, before_s)
        if conversation is None:
            finish_wiping(self._session)
        else:
            self._growing.forget(conversation)
            mark_deleted(self._session, conversation)
        return conversation

    def delete(self, conversation: str) -> None:
        """Remove all of a conversation for good. Does nothing where there is none.

        Nothing of it is left in the tables' files when this returns; see `coda_postgres.retention`. Where the wiping
        fails the conversation is gone but its bytes may linger: the error says so, and a later `delete` or `open`
        finishes the work.
        """
        self._growing.forget(conversation)
        if self._id(conversation) is not None or self._has_blobs(conversation):
            mark_deleted(self._session, conversation)
        finish_wiping(self._session)

    def _id(self, conversation: str) -> int | None:
        found = self._session.read("SELECT id FROM conversations WHERE conversation = %s", (to_column(conversation),))
        return found[0][0] if found else None

    def _has_blobs(self, conversation: str) -> bool:
        query = "SELECT FROM blobs WHERE conversation = %s LIMIT 1"
        return bool(self._session.read(query, (to_column(conversation),)))

    def _unsaid(self, id: int) -> list[ExtractedText]:
        with self._session.connected("read") as connection:
            return unsaid(connection, id)


@asynccontextmanager
async def open_postgres_store(config: PostgresStoreConfig, context: Context) -> AsyncIterator[PostgresStore]:
    """Yield the store that `config` describes, opened and closed without blocking the event loop."""
    store = PostgresStore(config, context.logger)
    try:
        await asyncio.to_thread(store.open)
        yield store
    finally:
        # Also where opening was cancelled: its thread goes on, and closing waits for it.
        await asyncio.to_thread(store.close)
