"""Notices when a piece of code keeps the event loop to itself, and tells where it is and which task runs it.

What blocks the loop delays the audio of everybody. It cannot be interrupted, as nothing can be that runs on the loop;
but it can be named, counted, and, where it is a reader of events that does so again and again, disconnected.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

import attrs

__all__ = ["LoopWatch", "Stall"]

_LOOK_S: Final = 0.1


@attrs.frozen
class Stall:
    """One stretch in which the loop stood still."""

    place: str
    """File, line and function that ran."""
    task: asyncio.Task[Any] | None
    """What ran it; None for a callback."""
    seconds: float


class LoopWatch:
    """A thread that asks the event loop for a sign of life ten times a second. An async context manager.

    Stretches shorter than `budget_s` are never noticed; ones that are longer by a tenth of a second always.
    """

    def __init__(self, budget_s: float, noticed: Callable[[Stall], None]) -> None:
        """`noticed` is called on L when the loop goes on."""
        self._budget_s = budget_s
        self._noticed = noticed
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="coda-loop-watch", daemon=True)

    async def __aenter__(self) -> None:
        self._thread.start()

    async def __aexit__(self, *_error: object) -> None:
        self._stopping.set()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_S):
            try:
                self._look()
            except RuntimeError:
                return  # the loop is closed: nobody has left the kernel

    def _look(self) -> None:
        alive = threading.Event()
        began_s = time.perf_counter()
        self._loop.call_soon_threadsafe(alive.set)
        if alive.wait(self._budget_s):
            return
        task = asyncio.current_task(self._loop)
        place = _place(sys._current_frames().get(self._loop_thread))
        while not alive.wait(1.0):
            if self._stopping.is_set():
                return
        if place is not None:
            stall = Stall(place, task, time.perf_counter() - began_s)
            self._loop.call_soon_threadsafe(self._noticed, stall)


def _place(frame: FrameType | None) -> str | None:
    """Return whose code a thread is in; None where that is the loop itself, which then was only slow to be woken."""
    inner = None
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module in ("asyncio.base_events", "asyncio.runners", "asyncio.events"):
            break
        if module.partition(".")[0] not in sys.stdlib_module_names:
            return f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_name})"
        if module != "selectors":
            inner = inner or f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_name})"
        frame = frame.f_back
    return inner
