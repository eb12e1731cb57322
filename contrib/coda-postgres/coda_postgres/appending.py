"""Events on their way into the tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, LiteralString

import attrs
from coda_core import Closed, ConversationTaken, ExtractedText
from coda_core.interfaces import ConversationRow
from coda_core.storing import EventRow, Growing, advance, conversation_row

from coda_postgres.columns import from_column, to_column
from coda_postgres.passages import put_passages, unsaid
from coda_postgres.presence import Presence
from coda_postgres.schema import Connection, shard_of

__all__ = ["COLUMNS", "append", "row_of"]

COLUMNS: Final[LiteralString] = (
    "conversation, opened_s, closed_s, user_id, events, last_sequence, last_s, dropped_events, dropped_snapshots"
)
"""Of the conversations table, as `row_of` takes them."""


@attrs.frozen
class _Known:
    """What the tables have of a conversation, locked against others until the transaction ends."""

    id: int
    server: int | None
    row: ConversationRow | None
    """None where it is new."""


def row_of(columns: Any) -> ConversationRow:
    """Return the row of a query that begins with `COLUMNS`."""
    row = conversation_row(columns)
    return attrs.evolve(
        row, conversation=from_column(row.conversation) or row.conversation, user_id=from_column(row.user_id)
    )


def append(
    connection: Connection,
    conversations: Mapping[str, Mapping[int, EventRow]],
    presence: Presence,
    growing: Growing,
) -> None:
    """Store events by conversation and sequence, in a transaction of the caller's, in few statements.

    Raises `ConversationTaken` where another living server has a conversation.
    """
    server = presence.begin()
    known = _locked(connection, conversations, server)
    living = presence.others(connection, {each.server for each in known.values()})
    for name, each in known.items():
        if each.server in living:
            raise ConversationTaken(name)
        if each.row is None or each.server != server:
            growing.forget(name)
    new = _not_stored(connection, conversations, known)
    _insert(connection, new, known)
    summed: dict[int, ConversationRow] = {}
    for name, rows in new.items():
        each, told = known[name], [row.event for row in rows.values()]
        summed[each.id] = advance(each.row, told)
        texts = [event for event in told if isinstance(event, ExtractedText)]
        over = any(isinstance(event, Closed) for event in told)
        if texts or over:
            complete = growing.take(name, texts, over=over, unsaid=lambda id=each.id: unsaid(connection, id))  # type: ignore[misc]
            put_passages(connection, each.id, complete)
    _update(connection, summed, server)


def _locked(connection: Connection, names: Mapping[str, object], server: int) -> dict[str, _Known]:
    """Return the rows of the conversations, in an order in which no two servers wait for each other."""
    columns = [to_column(name) for name in sorted(names)]
    select: LiteralString = (
        f"SELECT {COLUMNS}, id, server FROM conversations WHERE conversation = ANY(%s) ORDER BY conversation FOR UPDATE"
    )
    found = connection.execute(select, (columns,)).fetchall()
    if len(found) < len(columns):
        connection.execute(
            "INSERT INTO conversations (conversation, opened_s, events, last_sequence, last_s, server) "
            "SELECT name, 0, 0, 0, 0, %s FROM unnest(%s::text[]) name ORDER BY name ON CONFLICT DO NOTHING",
            (server, sorted(set(columns) - {row[0] for row in found})),
        )
        found = connection.execute(select, (columns,)).fetchall()
    rows = [(row_of(columns), columns[-2], columns[-1]) for columns in found]
    return {row.conversation: _Known(id, owner, row if row.last_sequence else None) for row, id, owner in rows}


def _not_stored(
    connection: Connection, conversations: Mapping[str, Mapping[int, EventRow]], known: Mapping[str, _Known]
) -> dict[str, dict[int, EventRow]]:
    """Leave out what is there already."""
    doubtful = [
        (shard_of(known[name].id), known[name].id, sequence)
        for name, rows in conversations.items()
        for sequence in rows
        if sequence <= (row.last_sequence if (row := known[name].row) is not None else 0)
    ]
    stored: set[tuple[int, int]] = set()
    if doubtful:
        shards, ids, sequences = zip(*doubtful, strict=True)
        stored = set(
            connection.execute(
                "SELECT conversation, sequence FROM events WHERE (shard, conversation, sequence) IN "
                "(SELECT * FROM unnest(%s::smallint[], %s::bigint[], %s::bigint[]))",
                (list(shards), list(ids), list(sequences)),
            ).fetchall()
        )
    new = {
        name: {sequence: row for sequence, row in rows.items() if (known[name].id, sequence) not in stored}
        for name, rows in conversations.items()
    }
    return {name: rows for name, rows in new.items() if rows}


def _insert(connection: Connection, new: Mapping[str, Mapping[int, EventRow]], known: Mapping[str, _Known]) -> None:
    values = [
        (
            *(shard_of(known[name].id), known[name].id, sequence),
            *(to_column(row.type), row.version, row.event.frame, float(row.event.time_s), row.payload),
        )
        for name, rows in new.items()
        for sequence, row in rows.items()
    ]
    if values:
        connection.execute(
            "INSERT INTO events SELECT * FROM unnest(%s::smallint[], %s::bigint[], %s::bigint[], %s::text[], "
            "%s::integer[], %s::bigint[], %s::double precision[], %s::text[])",
            [list(column) for column in zip(*values, strict=True)],
        )


def _update(connection: Connection, rows: Mapping[int, ConversationRow], server: int) -> None:
    values = [
        (
            *(id, float(row.opened_s), None if row.closed_s is None else float(row.closed_s), to_column(row.user_id)),
            *(row.events, row.last_sequence, float(row.last_s)),
        )
        for id, row in sorted(rows.items())
    ]
    if values:
        connection.execute(
            "UPDATE conversations c SET opened_s = n.opened_s, closed_s = n.closed_s, user_id = n.user_id, "
            "events = n.events, last_sequence = n.last_sequence, last_s = n.last_s, server = %s "
            "FROM unnest(%s::bigint[], %s::double precision[], %s::double precision[], %s::text[], %s::bigint[], "
            "%s::bigint[], %s::double precision[]) "
            "AS n (id, opened_s, closed_s, user_id, events, last_sequence, last_s) WHERE c.id = n.id",
            [server, *(list(column) for column in zip(*values, strict=True))],
        )
