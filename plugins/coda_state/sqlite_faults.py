"""What SQLite reports, in a person's words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from coda_core.errors import StoreError

__all__ = ["DatabaseDamaged", "explained"]


class DatabaseDamaged(StoreError):
    """The file is Coda's database, or SQLite's, and cannot be read as one."""


_FOUND_AND_REMEDY: Final = {
    sqlite3.SQLITE_BUSY: (
        "another process holds its lock",
        "Wait for that process, end it, or raise busy_timeout_seconds.",
    ),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", "Give the path of a file in a folder that can be written to."),
    sqlite3.SQLITE_CORRUPT: (
        "the database is damaged",
        "Coda leaves it as it is, and sets it aside under another name when something is to be stored. "
        "Put back a copy, or try the command .recover of the program sqlite3 on it.",
    ),
    sqlite3.SQLITE_FULL: ("the disk is full", "Free some space; what was stored before is safe."),
    sqlite3.SQLITE_IOERR: ("the disk reports an error", "Check the disk, its free space and its quota."),
    sqlite3.SQLITE_NOTADB: (
        "it is not an SQLite database",
        "Coda leaves it as it is: name another file.",
    ),
    sqlite3.SQLITE_PERM: ("it cannot be written to", "Change the permissions of the file and its folder."),
    sqlite3.SQLITE_READONLY: ("it cannot be written to", "Change the permissions of the file and its folder."),
}


@contextmanager
def explained(path: Path, doing: str) -> Iterator[None]:
    """Turn what SQLite refuses into a `StoreError` that names `path`, what was found and a remedy."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise  # a wrong use of SQLite is a defect
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0)
        found, remedy = _FOUND_AND_REMEDY.get(code & 0xFF, ("SQLite refuses", "Check the file and its disk."))
        kind = DatabaseDamaged if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) else StoreError
        raise kind(f"{path}: could not {doing}: {found} ({error}). {remedy}") from error
