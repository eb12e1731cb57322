"""Running a coroutine until it is done or the user stops it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

import click

__all__ = ["run_until_stopped"]

T = TypeVar("T")

TERMINATED: Final = 128 + signal.SIGTERM


def run_until_stopped(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` on an event loop and return its result.

    Ctrl-C and SIGTERM cancel it, so that everything it entered is closed; then KeyboardInterrupt is raised, or
    `click.exceptions.Exit` with 143.
    """
    terminated = False

    async def stoppable() -> T:
        nonlocal terminated
        task = asyncio.current_task()
        assert task is not None

        def terminate() -> None:
            nonlocal terminated
            terminated = True
            task.cancel()

        with suppress(NotImplementedError, ValueError):  # not every platform, and only the main thread
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
        return await work

    try:
        return asyncio.run(stoppable())
    except asyncio.CancelledError:
        if terminated:
            raise click.exceptions.Exit(TERMINATED) from None
        raise
