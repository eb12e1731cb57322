"""How far a long piece of work is: a bar on a terminal, a line for each quarter in a pipe."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from coda_core.cli.terminal import Terminal
from coda_core.interfaces import Progress as Report

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["progress_on"]


@contextmanager
def progress_on(terminal: Terminal) -> Iterator[Report]:
    """Yield what to call with the name of a piece of work, how much of it is done, and how much there is.

    May be called on any thread. A total that is not above 0 is not known.
    """
    if terminal.err is None:
        yield _Lines(terminal.aside)
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=terminal.err) as bars:
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
    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._quarters: dict[str, int] = {}
        self._lock = threading.Lock()

    def __call__(self, what: str, done: float, total: float) -> None:
        quarter = min(4, int(4 * done / total)) if total > 0 else 0
        with self._lock:
            if quarter <= self._quarters.get(what, -1):
                return
            self._quarters[what] = quarter
            self._write(f"{what}: {25 * quarter} %" if total > 0 else what)
