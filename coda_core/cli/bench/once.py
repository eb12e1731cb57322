"""A processor that is made a dozen times says the same a dozen times: once is enough."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["each_said_once"]


@contextmanager
def each_said_once() -> Iterator[None]:
    """Let each message be logged once, on every handler that the process has."""
    handlers = tuple(logging.getLogger().handlers)
    once = _Once()
    for handler in handlers:
        handler.addFilter(once)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(once)


class _Once(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, logging.LogRecord] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        # The same record comes once for each handler.
        return self._said.setdefault(record.getMessage(), record) is record
