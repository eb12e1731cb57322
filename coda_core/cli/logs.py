"""Logging, set up here and nowhere else: a library leaves it to the program."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from typing import Final

from rich.console import Console
from rich.text import Text

__all__ = ["log_to"]


class _ConsoleHandler(logging.Handler):
    """Writes through a console, so that a line does not tear a progress bar that is on the screen."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._console.print(Text(self.format(record)), soft_wrap=True)
        except Exception:
            self.handleError(record)


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        record.levelname = record.levelname.lower()
        return super().format(record)


_BRIEF: Final = "coda: %(levelname)s: %(message)s"
_VERBOSE: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def _matters(record: logging.LogRecord) -> bool:
    """True for what Coda and its components say, and for errors; a library's own worries are for ``--verbose``."""
    return record.name.startswith("coda") or record.levelno >= logging.ERROR


def log_to(console: Console, *, verbose: bool) -> None:
    """Log warnings, or where `verbose` everything from INFO up, on `console`. Called again, it starts over."""
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _ConsoleHandler)]:
        root.removeHandler(handler)
    handler = _ConsoleHandler(console)
    handler.setFormatter(_Plain(_VERBOSE if verbose else _BRIEF))
    root.addHandler(handler)
    root.setLevel(logging.INFO if verbose else logging.WARNING)
    if verbose:
        return
    handler.addFilter(_matters)
    # The hub's library brings a handler of its own; read when it is imported.
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    # Python's own warnings are for developers; -W and PYTHONWARNINGS ask for them too.
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
