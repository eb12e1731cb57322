"""What the tests share: a real PostgreSQL."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing

import pytest

from coda_postgres.config import PostgresStoreConfig
from coda_postgres.store import PostgresStore
from coda_postgres_testing.server import Server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under ``CODA_NO_SKIP``, as in CI, a test that was skipped has failed."""
    report = yield
    if report.skipped and os.environ.get("CODA_NO_SKIP"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and nothing may be skipped here: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server for all tests that harm nobody else's."""
    server = Server()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server to stop and to kill. It writes through to the disk, as a real one does."""
    server = Server(fsync=True)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def config(server: Server) -> PostgresStoreConfig:
    """Settings of a store that is empty."""
    server.empty("coda")
    return PostgresStoreConfig(url=server.url, lease_seconds=0.2)


@pytest.fixture
def opened() -> Iterator[Callable[[PostgresStoreConfig], PostgresStore]]:
    """Opens stores until the end of the test."""
    with ExitStack() as exits:

        def open_store(config: PostgresStoreConfig) -> PostgresStore:
            store = exits.enter_context(closing(PostgresStore(config, logging.getLogger("coda.test"))))
            store.open()
            return store

        yield open_store
