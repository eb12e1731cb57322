"""The store does what every state store must."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psycopg
import pytest
from coda_core.testing.conformance import StateStoreConformance

from coda_postgres.config import PostgresStoreConfig
from coda_postgres.register import coda_register_state_stores
from coda_postgres_testing.server import Server


class TestPostgres(StateStoreConformance):
    component = coda_register_state_stores()[0]

    @pytest.fixture(autouse=True)
    def _emptied(self, server: Server, request: pytest.FixtureRequest) -> None:
        """Empty the tables, which takes less time than to make them; those that are made at once are made anew."""
        self.server = server
        for schema in ("conformance", "conformance_asked"):
            server.empty(schema, drop="at_once" in request.node.name)

    def config(self, folder: Path) -> PostgresStoreConfig:
        schema = "conformance_asked" if folder.name == "asked" else "conformance"
        return PostgresStoreConfig(url=self.server.url, schema=schema, lease_seconds=0.2)

    def files(self, folder: Path) -> Iterable[Path]:
        """Tables and indexes; of the write-ahead log README says what may linger."""
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
        return [path for path in (self.server.data / "base").rglob("*") if path.is_file()]
