"""Running a coroutine until it is done or the user stops it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

import click

__all__ = ["run_until_stopped"]

T = TypeVar("T")

_STOPPING: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Ctrl-C, a service manager, a terminal that was closed."""


class _Stopper:
    """Cancels a task at the first signal and ends the process at the second."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task
        self.code: int | None = None
        """What the process ends with; None while no signal came."""

    def __call__(self, number: int) -> None:
        code = 128 + number
        if self.code is None:
            self.code = code
            self._task.cancel()
            return
        # A model that is being loaded cannot be told to stop, and a thread cannot be killed. What a store has
        # acknowledged is on disk, as after any other kill.
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.write("coda: stopped without waiting for the end\n")
            sys.stderr.flush()
        os._exit(code)


def run_until_stopped(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` on an event loop and return its result.

    Ctrl-C, SIGTERM and SIGHUP cancel it, so that everything it entered is closed; then `click.exceptions.Exit` is
    raised with 128 and the signal's number. A second signal ends the process at once.
    """
    stopper: _Stopper | None = None

    async def stoppable() -> T:
        nonlocal stopper
        task = asyncio.current_task()
        assert task is not None
        stopper = _Stopper(task)
        for number in _STOPPING:
            if signal.getsignal(number) is signal.SIG_IGN:
                continue  # as nohup asks for
            with suppress(NotImplementedError, ValueError, RuntimeError):  # some platforms, all but the main thread
                asyncio.get_running_loop().add_signal_handler(number, stopper, number)
        return await work

    try:
        return asyncio.run(stoppable())
    except asyncio.CancelledError:
        if stopper is not None and stopper.code is not None:
            raise click.exceptions.Exit(stopper.code) from None
        raise
