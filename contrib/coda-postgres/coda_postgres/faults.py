"""What PostgreSQL reports, in a person's words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from coda_core import StoreError
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from coda_postgres.answering import NoAnswer

__all__ = ["explained", "shown"]

_FOUND_AND_REMEDY: Final[tuple[tuple[type[psycopg.Error], str, str], ...]] = (
    (NoAnswer, "it does not answer", "See whether it hangs or is overloaded; raise answer_seconds if it is only slow."),
    (errors.InsufficientPrivilege, "the user may not do that", "Grant it CREATE on the database, or own the schema."),
    (errors.LockNotAvailable, "another process holds a lock", "Wait for it, or raise timeout_seconds."),
    (errors.DiskFull, "the server's disk is full", "Free some space; what was stored before is safe."),
    (errors.TooManyConnections, "the server has no connection left", "Raise its max_connections."),
    (errors.ReadOnlySqlTransaction, "the server is read-only", "Name the primary in the url, not a standby."),
    (errors.AdminShutdown, "the server is shutting down", "Start it again; what was stored before is safe."),
    (errors.CannotConnectNow, "the server is starting or stopping", "Wait until it is up."),
)

# Of a connection that is refused, libpq gives the words and no code.
_REFUSED: Final[tuple[tuple[str, str, str], ...]] = (
    (r'database "[^"]*" does not exist', "there is no such database", "Make it with createdb, or name another."),
    (r'role "[^"]*" does not exist', "there is no such user", "Make it with createuser, or name another in the url."),
    (r"password", "the password is refused", "Check the url's user and password."),
    (r"pg_hba\.conf", "the user may not connect from here", "Add a line for it to the server's pg_hba.conf."),
)


def shown(url: str) -> str:
    """Return what may be shown of a url: everything but its secrets."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        return "the database"
    place = parts.get("host") or parts.get("hostaddr") or "this machine"
    return f"{place}{':' + str(parts['port']) if parts.get('port') else ''}/{parts.get('dbname') or ''}"


@contextmanager
def explained(place: str, doing: str) -> Iterator[None]:
    """Turn what PostgreSQL refuses into a `StoreError` that names the place, what was found and a remedy."""
    try:
        yield
    except (psycopg.OperationalError, errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction) as error:
        found, remedy = "it cannot be reached", "Check that the server is up, and the url."
        for kind, its_finding, its_remedy in _FOUND_AND_REMEDY:
            if isinstance(error, kind):
                found, remedy = its_finding, its_remedy
        said = " ".join(str(error).split())
        for words, its_finding, its_remedy in _REFUSED:
            if error.sqlstate is None and re.search(words, said):
                found, remedy = its_finding, its_remedy
                break
        raise StoreError(f"PostgreSQL at {place}: could not {doing}: {found} ({said}). {remedy}") from error
