"""Logging, set up here and nowhere else: a library leaves it to the program."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from typing import Final

from coda_core.cli.terminal import Terminal

__all__ = ["log_to"]


class _TerminalHandler(logging.Handler):
    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._terminal.aside(self.format(record))
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


def log_to(terminal: Terminal, *, verbose: bool) -> None:
    """Log warnings, or where `verbose` everything from INFO up, on `terminal`. Called again, it starts over."""
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _TerminalHandler)]:
        root.removeHandler(handler)
    handler = _TerminalHandler(terminal)
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
