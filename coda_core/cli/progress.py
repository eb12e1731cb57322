"""How far a long piece of work is: a bar on a terminal, a line for each quarter in a pipe."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from coda_core.interfaces import Progress as Report

__all__ = ["progress_on"]


@contextmanager
def progress_on(console: Console) -> Iterator[Report]:
    """Yield what to call with the name of a piece of work, how much of it is done, and how much there is.

    May be called on any thread. A total that is not above 0 is not known.
    """
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bars:
        yield _Bars(bars)


class _Bars:
    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()

    def __call__(self, what: str, done: float, total: float) -> None:
        with self._lock:
            if what not in self._tasks:
                self._tasks[what] = self._bars.add_task(what, total=None)
            self._bars.update(self._tasks[what], completed=done, total=total if total > 0 else None)


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._quarters: dict[str, int] = {}
        self._lock = threading.Lock()

    def __call__(self, what: str, done: float, total: float) -> None:
        quarter = min(4, int(4 * done / total)) if total > 0 else 0
        with self._lock:
            if quarter <= self._quarters.get(what, -1):
                return
            self._quarters[what] = quarter
            line = f"{what}: {25 * quarter} %" if total > 0 else what
            self._console.print(Text(line), soft_wrap=True)
