"""A connection that is given up where the server takes a statement and says nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

import psycopg
from psycopg import capabilities

__all__ = ["AnsweringConnection", "NoAnswer"]

_CANCEL_S: Final = 1.0
"""What the server gets to take the word that nobody waits any more."""

T = TypeVar("T")


class NoAnswer(psycopg.OperationalError):
    """The server has taken a statement and said nothing of it for too long."""


class AnsweringConnection(psycopg.Connection[Any]):
    """A connection whose statements raise `NoAnswer` after `answer_s` seconds in which nothing came or went.

    The network's own watch does not see that: a server that is stopped, a disk that is stuck or a proxy that forwards
    nothing still acknowledges every packet. PostgreSQL's `statement_timeout` does not help either where the server is
    what hangs, and would take a commit that waits for a standby for done. What has become of the statement is unknown;
    the connection is closed, and the server asked to give the statement up, so that its locks are free.
    """

    answer_s: float = math.inf

    @contextmanager
    def unhurried(self) -> Iterator[None]:
        """For statements that may take as long as they need, within the block."""
        answer_s, self.answer_s = self.answer_s, math.inf
        try:
            yield
        finally:
            self.answer_s = answer_s

    def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **named: Any) -> T:
        try:
            return super().wait(_impatient(gen, self.answer_s), *arguments, **named)
        except NoAnswer:
            # With an older libpq this would wait for a server that hangs without an end.
            if capabilities.has_cancel_safe():
                with suppress(psycopg.Error):
                    self.cancel_safe(timeout=_CANCEL_S)
            self.close()
            raise


def _impatient(gen: Generator[Any, Any, T], answer_s: float) -> Generator[Any, Any, T]:
    """Do what `gen` does. psycopg sends it nothing every tenth of a second; whatever is ready is a sign of life."""
    end = time.monotonic() + answer_s
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if ready:
                end = time.monotonic() + answer_s
            elif time.monotonic() > end:
                raise NoAnswer(f"it took a statement and said nothing for {answer_s:g} s")
            wanted = gen.send(ready)
    except StopIteration as done:
        result: T = done.value
        return result
