"""What was said, as rows of the sqlite store: passages that are over, and the texts that are in none yet."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from coda_core.events import event_from_json
from coda_core.state import Passage, PassageWord
from coda_core.storing.passages import Draft
from coda_core.text import ExtractedText
from coda_state.shards import events_of, passages_of, said_of, shard_of

__all__ = ["COLUMNS", "passage_of", "put_passages", "unsaid"]

COLUMNS: Final = "p.id, p.extractor, p.speaker, p.start_s, p.end_s, p.time_s, p.words"
"""Of the passages table `p`, as `passage_of` takes them."""


def put_passages(connection: sqlite3.Connection, id: int, drafts: Iterable[Draft]) -> None:
    """Store and index complete passages of the conversation with row `id`."""
    shard = shard_of(id)
    for draft in drafts:
        row = connection.execute(
            f"INSERT INTO {passages_of(shard)} (conversation, extractor, speaker, start_s, end_s, time_s, "
            "last_sequence, words, text) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                id,
                draft.extractor,
                draft.speaker,
                draft.start_s,
                draft.end_s,
                draft.time_s,
                draft.last_sequence,
                draft.words_json,
                draft.text,
            ),
        ).lastrowid
        connection.execute(f"INSERT INTO {said_of(shard)} (rowid, text) VALUES (?, ?)", (row, draft.text))


def unsaid(connection: sqlite3.Connection, id: int) -> list[ExtractedText]:
    """Return the stored texts of the conversation with row `id` that are in no stored passage, in order."""
    shard = shard_of(id)
    said: dict[tuple[str, str], int] = {
        (extractor, speaker): last
        for extractor, speaker, last in connection.execute(
            f"SELECT extractor, speaker, max(last_sequence) FROM {passages_of(shard)} WHERE conversation = ? "
            "GROUP BY extractor, speaker",
            (id,),
        )
    }
    rows = connection.execute(
        f"SELECT payload FROM {events_of(shard)} WHERE conversation = ? AND type = 'text' ORDER BY sequence", (id,)
    )
    texts = [event for (payload,) in rows if isinstance(event := event_from_json(payload), ExtractedText)]
    return [text for text in texts if text.sequence > said.get((text.extractor, text.speaker), 0)]


def passage_of(row: Sequence[Any], conversation: str) -> Passage:
    """Return the passage of a row that begins with `COLUMNS`."""
    _, extractor, speaker, start_s, end_s, time_s, words, *_ = row
    return Passage(
        conversation=conversation,
        extractor=extractor,
        speaker=speaker,
        start_s=start_s,
        end_s=end_s,
        time_s=time_s,
        words=tuple(PassageWord(*word) for word in json.loads(words)),
    )
