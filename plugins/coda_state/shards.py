"""The parts that the sqlite store is divided into, so that one can be written anew in little time.

`PRAGMA secure_delete` overwrites a row where it lies and a page that is given back. Where SQLite once moved rows from
page to page, copies stay behind in space that no page gives back, and the whole table has to be written anew to be
rid of them. A conversation lies in the tables of one shard and in two small ones that all share.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Final

__all__ = ["SHARDS", "events_of", "fill_index", "passages_of", "said_of", "shard_of", "wipe"]

SHARDS: Final = 16
_SHARED: Final = ("conversations", "blobs")


def shard_of(id: int) -> int:
    """Return the shard of the conversation with this row id."""
    return id % SHARDS


def events_of(shard: int) -> str:
    return f"events_{shard:02d}"


def passages_of(shard: int) -> str:
    return f"passages_{shard:02d}"


def said_of(shard: int) -> str:
    """Return the name of the shard's full-text index."""
    return f"said_{shard:02d}"


def fill_index(connection: sqlite3.Connection, shard: int) -> None:
    """Put the passages of a shard into its full-text index, which is empty."""
    connection.execute(f"INSERT INTO {said_of(shard)} (rowid, text) SELECT id, text FROM {passages_of(shard)}")


def wipe(connection: sqlite3.Connection, shard: int) -> None:
    """Write all tables anew in which a conversation of this shard may have left copies; inside a transaction."""
    for table in (*_SHARED, events_of(shard), passages_of(shard)):
        _rewrite(connection, table)
    said = said_of(shard)
    (create,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (said,)).fetchone()
    connection.execute(f"DROP TABLE {said}")
    connection.execute(create)
    fill_index(connection, shard)


def _rewrite(connection: sqlite3.Connection, table: str) -> None:
    """Copy a table's rows into a new one of its name. The pages of the old one are overwritten when it is dropped."""
    fresh = f"{table}_anew"
    (create,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    indexes = connection.execute(
        "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL", (table,)
    ).fetchall()
    last_id = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    connection.execute(re.sub(rf'CREATE TABLE "?{table}"?', f"CREATE TABLE {fresh}", create, count=1))
    connection.execute(f"INSERT INTO {fresh} SELECT * FROM {table}")
    connection.execute(f"DROP TABLE {table}")
    connection.execute(f"ALTER TABLE {fresh} RENAME TO {table}")
    for (index,) in indexes:
        connection.execute(index)
    if last_id is not None:
        # An AUTOINCREMENT must not begin again below an id that was used.
        connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        connection.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (table, *last_id))
