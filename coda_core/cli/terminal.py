"""Where commands write: results on stdout, everything else on stderr.

Coloured and boxed on a terminal; in a pipe plain text, one line for each thing.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

__all__ = ["Terminal", "printable"]


class Terminal:
    """The two consoles of a command."""

    def __init__(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            # A word in another script must not end a command on a terminal that cannot show it.
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        self.out = Console(highlight=False, markup=False, emoji=False)
        self.err = Console(highlight=False, markup=False, emoji=False, stderr=True)

    def line(self, text: str = "", style: str = "", *, indent: int = 0) -> None:
        """Print one line of the result, behind `indent` spaces; in a pipe it is never wrapped."""
        if self.out.is_terminal:
            styled = Text(text, style=style)
            self.out.print(Padding(styled, (0, 0, 0, indent), expand=False) if indent else styled)
        else:
            self.out.print(Text(" " * indent + text), soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table: columns that line up, and one line a row in a pipe."""
        if self.out.is_terminal:
            table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
            for column in columns:
                table.add_column(Text(column), overflow="fold")
            for row in rows:
                table.add_row(*(Text(cell) for cell in row))
            self.out.print(table)
            return
        widths = [max(len(cell) for cell in column) for column in zip(columns, *rows, strict=True)]
        for row in (columns, *rows):
            self.line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def json(self, value: dict[str, Any]) -> None:
        """Print the result as JSON."""
        self.out.file.write(json.dumps(value, indent=2) + "\n")
        self.out.file.flush()


def printable(text: str) -> str:
    """Return `text` with every character that a terminal might obey made visible as U+FFFD."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
