"""Dropping what is past its keeping, and deleting conversations down to the bytes.

PostgreSQL never overwrites a deleted row: `VACUUM` makes its room free and leaves its bytes. Only a table that is
written anew (`VACUUM FULL`) is rid of them, and nobody may use it meanwhile. So the large tables are divided, and only
the parts in which the conversation lay are written anew.
"""

from __future__ import annotations

import re
import time
from typing import Final

from coda_core import StoreError
from coda_core.storing import LASTING
from psycopg import sql
from psycopg.errors import Diagnostic

from coda_postgres.answering import AnsweringConnection
from coda_postgres.blobs import delete_blobs
from coda_postgres.columns import from_column, to_column
from coda_postgres.schema import shard_of
from coda_postgres.session import Session

__all__ = ["finish_wiping", "mark_deleted", "oldest", "trim"]

_DOING: Final = "wipe what was deleted (it is no longer found, but its bytes may linger until this is done)"
_PAUSE_S: Final = 0.1


def trim(session: Session, id: int, *, before: int | None, events: int, snapshots: int) -> None:
    """Drop the oldest events and snapshots of the conversation with row `id`; see `StateStore.trim`.

    No event from the number `before` on is dropped, where that is given.
    """
    kept = [*LASTING, "snapshot"]
    with session.writing("drop old events") as connection:
        (latest,) = connection.execute(
            "SELECT max(sequence) FROM events WHERE shard = %s AND conversation = %s AND type = 'snapshot'",
            (shard_of(id), id),
        ).fetchone() or (None,)
        if latest is None:
            return
        dropped = [
            connection.execute(
                "DELETE FROM events WHERE shard = %(shard)s AND conversation = %(id)s AND sequence < %(end)s "
                "AND sequence IN (SELECT sequence FROM events WHERE shard = %(shard)s AND conversation = %(id)s "
                "AND (type = ANY(%(types)s)) = %(listed)s ORDER BY sequence DESC OFFSET %(kept)s)",
                {"shard": shard_of(id), "id": id, "end": end, "types": types, "listed": listed, "kept": keep},
            ).rowcount
            for types, listed, keep, end in (
                (kept, False, events, latest if before is None else min(latest, before)),
                (["snapshot"], True, snapshots, latest),
            )
        ]
        connection.execute(
            "UPDATE conversations SET events = events - %s, dropped_events = dropped_events + %s, "
            "dropped_snapshots = dropped_snapshots + %s WHERE id = %s",
            (sum(dropped), *dropped, id),
        )


def oldest(session: Session, before_s: float) -> str | None:
    """Return the conversation whose latest event is the oldest and older than `before_s`."""
    query = "SELECT conversation FROM conversations WHERE last_s < %s ORDER BY last_s, id LIMIT 1"
    found = session.read(query, (before_s,))
    return from_column(found[0][0]) if found else None


def mark_deleted(session: Session, conversation: str) -> None:
    """Remove a conversation's rows, and note in which tables bytes of them may be left."""
    with session.writing(f"delete conversation {conversation}") as connection:
        relations = [f"blob_parts_{shard:02d}" for shard in delete_blobs(connection, conversation)]
        if relations:
            relations.append("blobs")
        found = connection.execute(
            "DELETE FROM conversations WHERE conversation = %s RETURNING id", (to_column(conversation),)
        ).fetchone()
        if found is not None:
            (id,) = found
            shard = shard_of(id)
            connection.execute("DELETE FROM events WHERE shard = %s AND conversation = %s", (shard, id))
            connection.execute("DELETE FROM passages WHERE shard = %s AND conversation = %s", (shard, id))
            relations += ["conversations", f"events_{shard:02d}", f"passages_{shard:02d}"]
        connection.execute(
            "INSERT INTO erasures SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING", (sorted(relations),)
        )


def finish_wiping(session: Session) -> None:
    """Write the tables anew in which bytes of deleted rows may be left.

    Raises `StoreError` where that fails, and where somebody's transaction still sees what was before; the marks of what
    is not done are kept.
    """
    marked = [relation for (relation,) in session.read("SELECT relation FROM erasures ORDER BY relation")]
    if not marked:
        return
    end = time.monotonic() + session.config.timeout_seconds
    for relation in marked:
        with session.connected(_DOING) as connection:
            while lingering := _written_anew(connection, relation):
                if time.monotonic() > end:
                    raise StoreError(
                        f"PostgreSQL at {session.place}: could not {_DOING}: a transaction still sees {lingering} rows "
                        f"of {relation} as they were. End it (see pg_stat_activity), then delete once more or start "
                        "Coda again."
                    )
                time.sleep(_PAUSE_S)
            connection.execute("DELETE FROM erasures WHERE relation = %s", (relation,))


def _written_anew(connection: AnsweringConnection, relation: str) -> int:
    """Write a table anew; return how many deleted rows had to be kept because somebody still sees them."""
    kept = 0

    def hear(said: Diagnostic) -> None:
        nonlocal kept
        number = re.match(r"\D*(\d+)", said.message_detail or "")
        kept += int(number[1]) if number else 0

    connection.add_notice_handler(hear)
    try:
        with connection.unhurried():  # as long as the table is large
            connection.execute(sql.SQL("VACUUM (FULL, VERBOSE) {}").format(sql.Identifier(relation)))
    finally:
        connection.remove_notice_handler(hear)
    return kept
