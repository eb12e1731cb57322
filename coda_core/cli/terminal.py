"""Where commands write: results on stdout, everything else on stderr.

Coloured and boxed on a terminal; in a pipe plain text, one line for each thing. rich is imported where something is
shown on a terminal, and not before: it takes a good part of the time of a quick command.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coda_core.errors import CodaError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Terminal", "printable", "silence"]


class Terminal:
    """The two streams of a command."""

    def __init__(self) -> None:
        # A stream that was closed before the start, as by ">&-", is None.
        sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115
        sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
        for stream in (sys.stdout, sys.stderr):
            # A word in another script must not end a command on a terminal that cannot show it.
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")

    @cached_property
    def out(self) -> Console | None:
        """stdout where it is a terminal, None where it is a pipe."""
        return _console(stderr=False) if _shows_more_than_text(sys.stdout) else None

    @cached_property
    def err(self) -> Console | None:
        """stderr where it is a terminal, None where it is a pipe."""
        return _console(stderr=True) if _shows_more_than_text(sys.stderr) else None

    def line(self, text: str = "", style: str = "", *, indent: int = 0) -> None:
        """Print one line of the result, behind `indent` spaces; in a pipe it is never wrapped."""
        if self.out is None:
            _write(sys.stdout, " " * indent + text)
            return
        from rich.padding import Padding
        from rich.text import Text

        styled = Text(text, style=style)
        self.out.print(Padding(styled, (0, 0, 0, indent), expand=False) if indent else styled)

    def aside(self, text: str) -> None:
        """Print lines that are no part of the result, above a progress bar if there is one."""
        if self.err is None:
            _write(sys.stderr, text)
            return
        from rich.text import Text

        self.err.print(Text(text), soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table: columns that line up, and one line a row in a pipe."""
        if self.out is None:
            widths = [max(len(cell) for cell in column) for column in zip(columns, *rows, strict=True)]
            for row in (columns, *rows):
                self.line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
            return
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for column in columns:
            table.add_column(Text(column), overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self.out.print(table)

    def json(self, value: dict[str, Any]) -> None:
        """Print the result as JSON."""
        _write(sys.stdout, json.dumps(value, indent=2))


def printable(text: str) -> str:
    """Return `text` with every character that a terminal might obey made visible as U+FFFD."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _shows_more_than_text(stream: Any) -> bool:
    return stream.isatty() or bool(os.environ.get("FORCE_COLOR"))


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def _write(stream: Any, text: str) -> None:
    try:
        stream.write(text + "\n")
        stream.flush()
    except BrokenPipeError:
        silence(stream)
        raise
    except OSError as error:
        silence(stream)
        # Where complaints cannot be written there is nobody to tell.
        if stream is sys.stdout:
            raise CodaError(f"the result cannot be written to standard output: {error.strerror}") from None


def silence(stream: Any) -> None:
    """Throw away what waits in a stream that takes no more: the interpreter would fail on it once more at its end."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
