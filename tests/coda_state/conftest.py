"""What the tests of the state stores and the state manager share."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, closing
from pathlib import Path
from typing import Protocol, TypeVar

import pytest

from coda_core.events import Event
from coda_core.interfaces import Context
from coda_core.testing import ManualClock
from coda_core.testing.conformance.store_suite import talk as conformance_talk
from coda_state.sqlite import SqliteStore

T = TypeVar("T")


class Enter(Protocol):
    def __call__(self, manager: AbstractAsyncContextManager[T]) -> T: ...


@pytest.fixture
def enter() -> Iterator[Enter]:
    """Enters an async context manager for the length of the test."""
    with asyncio.Runner() as runner:
        exits = AsyncExitStack()

        def enter_until_the_end(manager: AbstractAsyncContextManager[T]) -> T:
            return runner.run(exits.enter_async_context(manager))

        yield enter_until_the_end
        runner.run(exits.aclose())


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(
        base_dir=tmp_path,
        cache_dir=tmp_path / "cache",
        clock=ManualClock(),
        logger=logging.getLogger("coda.test"),
        progress=lambda _what, _done, _total: None,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where `sqlite` keeps its database."""
    return tmp_path / "conversations.db"


@pytest.fixture
def sqlite(path: Path) -> Iterator[SqliteStore]:
    """An open sqlite store that does not wait for locks."""
    with closing(SqliteStore(path, 0.0, logging.getLogger("coda.test"))) as store:
        store.open()
        yield store


@pytest.fixture
def child() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts Python code in another process, with a pipe to and from it; kills it at the end of the test."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, *map(str, arguments)]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def talk() -> Callable[..., list[Event]]:
    """Makes the events of a conversation that is over: opened, a word each second, closed."""

    return conformance_talk
