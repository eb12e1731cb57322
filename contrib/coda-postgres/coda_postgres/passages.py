"""What was said, as rows: passages that are over, and the texts that are in none yet."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, LiteralString

from coda_core import ExtractedText
from coda_core.events import event_from_json
from coda_core.state import Passage, PassageWord
from coda_core.storing import Draft, Wanted, folded

from coda_postgres.columns import from_column, to_column
from coda_postgres.schema import Connection, shard_of

__all__ = ["COLUMNS", "passage_of", "put_passages", "query_of", "unsaid"]

COLUMNS: Final[LiteralString] = "p.id, p.extractor, p.speaker, p.start_s, p.end_s, p.time_s, p.words"
"""Of the passages table `p`, as `passage_of` takes them."""

_LEXEME: Final = 400
"""Signs of a word that count in a search; PostgreSQL takes 2,046 bytes."""


def put_passages(connection: Connection, id: int, drafts: Iterable[Draft]) -> None:
    """Store complete passages of the conversation with row `id`."""
    values = [
        (
            *(shard_of(id), id, to_column(draft.extractor), draft.speaker),
            *(draft.start_s, draft.end_s, draft.time_s, draft.last_sequence),
            json.dumps([(word.start_s, word.end_s, word.confidence, word.text) for word in draft.words]),
            _vector(draft.text),
        )
        for draft in drafts
    ]
    if values:
        connection.cursor().executemany(
            "INSERT INTO passages (shard, conversation, extractor, speaker, start_s, end_s, time_s, last_sequence, "
            "words, said) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s::tsvector)",
            values,
        )


def unsaid(connection: Connection, id: int) -> list[ExtractedText]:
    """Return the stored texts of the conversation with row `id` that are in no stored passage, in order."""
    said = {
        (from_column(extractor), speaker): last
        for extractor, speaker, last in connection.execute(
            "SELECT extractor, speaker, max(last_sequence) FROM passages WHERE shard = %s AND conversation = %s "
            "GROUP BY extractor, speaker",
            (shard_of(id), id),
        )
    }
    rows = connection.execute(
        "SELECT payload FROM events WHERE shard = %s AND conversation = %s AND type = 'text' ORDER BY sequence",
        (shard_of(id), id),
    )
    texts = [event for (payload,) in rows if isinstance(event := event_from_json(payload), ExtractedText)]
    return [text for text in texts if text.sequence > said.get((text.extractor, text.speaker), 0)]


def passage_of(row: Sequence[Any], conversation: str) -> Passage:
    """Return the passage of a row that begins with `COLUMNS`."""
    _, extractor, speaker, start_s, end_s, time_s, words, *_ = row
    return Passage(
        conversation=conversation,
        extractor=from_column(extractor) or "",
        speaker=speaker,
        start_s=start_s,
        end_s=end_s,
        time_s=time_s,
        words=tuple(PassageWord(*word) for word in json.loads(words)),
    )


def query_of(asked: Sequence[Wanted]) -> str:
    """Return a tsquery for all that is asked for.

    Both sides are folded here, by the rule that all stores share: no dictionary of PostgreSQL's takes part.
    """
    return " & ".join(f"({_phrase(each)})" for each in asked)


def _phrase(asked: Wanted) -> str:
    words = [f"'{word[:_LEXEME]}'" for word in folded(" ".join(asked.words))]
    return " <-> ".join(words) + (":*" if asked.prefix else "")


def _vector(text: str) -> str:
    # Words are letters and digits: there is no quote in them that could end one.
    return " ".join(f"'{word[:_LEXEME]}':{min(at, 16_383)}" for at, word in enumerate(folded(text), 1))
