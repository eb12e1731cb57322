"""What the tests share: a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server for all tests; each has a schema of its own."""
    server = Server()
    try:
        server.start()
        yield server
    finally:
        server.remove()
