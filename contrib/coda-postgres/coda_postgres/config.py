"""Settings of the state store `postgres`. Light: read when plugins are listed."""

from __future__ import annotations

import attrs
from coda_core import setting

__all__ = ["PostgresStoreConfig"]


@attrs.frozen
class PostgresStoreConfig:
    """Settings of the state store `postgres`."""

    url: str = setting(
        "postgresql:///coda",
        help="where the database is, as in postgresql://user:password@host:5432/database",
        secret=True,
    )
    schema: str = setting(
        "coda",
        help="schema of the tables: lower case letters, digits and _; made where missing",
        pattern="[a-z_][a-z0-9_]*",
    )
    lease_seconds: float = setting(
        15.0,
        help="how long a server that is killed or cut off from the database keeps its conversations, in seconds",
        minimum=0,
        maximum=3600,
    )
    timeout_seconds: float = setting(
        5.0, help="how long to wait for a connection, or for a lock, in seconds", minimum=1, maximum=600
    )
    answer_seconds: float = setting(
        10.0,
        help="how long the database may be silent about a statement, beside the wait for a lock, before its connection "
        "is given up, in seconds",
        minimum=0.1,
        maximum=3600,
    )
