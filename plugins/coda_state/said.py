"""What was said, in the sqlite store: gathered while it is said, read and searched."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final

from coda_core.state import Passage
from coda_core.storing.growing import Growing
from coda_core.storing.passages import gather
from coda_core.storing.words import Wanted, wanted
from coda_core.text import ExtractedText
from coda_state.said_rows import COLUMNS, passage_of, put_passages, unsaid
from coda_state.session import Session
from coda_state.shards import SHARDS, passages_of, said_of, shard_of

__all__ = ["Said"]

PAGE_PASSAGES: Final = 256


class Said:
    """Passages through a session.

    A passage is stored when it is over. One that still grows is kept in memory only: its words are stored as events,
    and it is gathered from those again where it is not at hand.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._growing = Growing()

    def keep(
        self, connection: sqlite3.Connection, conversation: str, id: int, texts: Sequence[ExtractedText], *, over: bool
    ) -> None:
        """Take in new texts of a conversation, with row `id`, whose events are stored; inside their transaction."""
        drafts = self._growing.take(conversation, texts, over=over, unsaid=lambda: unsaid(connection, id))
        put_passages(connection, id, drafts)

    def forget(self, conversation: str) -> None:
        """Gather anew what grows: the conversation was deleted, maybe by another process, or a transaction in which
        `keep` took part was undone."""
        self._growing.forget(conversation)

    def first_growing(self, conversation: str, id: int) -> int | None:
        """Return the number of the first event whose word is in no stored passage."""
        return self._growing.first(conversation, lambda: self._unsaid(id))

    def passages(self, conversation: str, id: int) -> Iterator[Passage]:
        """Yield the passages of a conversation: those that are over in their order, then those that grow."""
        query = (
            f"SELECT {COLUMNS} FROM {passages_of(shard_of(id))} p WHERE conversation = ? AND id > ? ORDER BY id LIMIT ?"
        )
        after = 0
        while page := self._session.read(query, id, after, PAGE_PASSAGES):
            for row in page:
                yield passage_of(row, conversation)
            after = page[-1][0]
        for draft in gather((), self._unsaid(id), over=False):
            yield draft.passage(conversation)

    def search(self, text: str, user_id: str | None, limit: int) -> Sequence[Passage]:
        """Return the latest passages that hold what `text` asks for."""
        asked = wanted(text)
        if not asked or limit <= 0:
            return []
        match = " ".join(_phrase(each) for each in asked)
        mine, values = ("", ()) if user_id is None else ("AND c.user_id = ?", (user_id,))
        found: list[tuple[float, int, int, str]] = []
        for shard in range(SHARDS):
            said, table = said_of(shard), passages_of(shard)
            query = (
                f"SELECT p.time_s, p.id, c.conversation FROM {said} JOIN {table} p ON p.id = {said}.rowid "
                f"JOIN conversations c ON c.id = p.conversation WHERE {said} MATCH ? {mine} "
                f"ORDER BY {said}.rowid DESC LIMIT ?"
            )
            rows = self._session.read(query, match, *values, limit)
            found += [(time_s, shard, id, conversation) for time_s, id, conversation in rows]
        latest = sorted(found, key=lambda row: -row[0])[:limit]
        return [passage for _, shard, id, owner in latest for passage in self._passage(shard, id, owner)]

    def _passage(self, shard: int, id: int, conversation: str) -> Iterator[Passage]:
        """Yield a passage, unless it was deleted meanwhile."""
        for row in self._session.read(f"SELECT {COLUMNS} FROM {passages_of(shard)} p WHERE id = ?", id):
            yield passage_of(row, conversation)

    def _unsaid(self, id: int) -> list[ExtractedText]:
        with self._session.connected("read") as connection:
            return unsaid(connection, id) if connection is not None else []


def _phrase(asked: Wanted) -> str:
    # Words are letters and digits: there is no quote in them that could end this one.
    return f'"{" ".join(asked.words)}"' + ("*" if asked.prefix else "")
