"""What `coda_postgres` offers. Light: psycopg is imported when the store is built."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Final

from coda_core import Component, Context, hookimpl

from coda_postgres.config import PostgresStoreConfig

if TYPE_CHECKING:
    from coda_postgres.store import PostgresStore

CODA_CONTRACT: Final = 1


def _open(config: PostgresStoreConfig, context: Context) -> AbstractAsyncContextManager[PostgresStore]:
    from coda_postgres.store import open_postgres_store

    return open_postgres_store(config, context)


@hookimpl
def coda_register_state_stores() -> list[Component[PostgresStoreConfig]]:
    return [Component("postgres", "Keeps conversations in PostgreSQL, for many servers.", PostgresStoreConfig, _open)]
