"""Keeps a picture of a running kernel at the bottom of a terminal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from coda_core.cli.terminal import Terminal

if TYPE_CHECKING:
    from coda_core.kernel import Kernel

__all__ = ["live"]

_PER_SECOND: Final = 8


@asynccontextmanager
async def live(terminal: Terminal, kernel: Kernel) -> AsyncIterator[None]:
    """Show what `kernel` does while entered; in a pipe, nothing.

    The event loop only takes notes. Drawing is done on a thread: a terminal that stands still (Ctrl-S) or is slow
    delays no audio.
    """
    if terminal.err is None:
        yield
        return
    from rich.live import Live

    from coda_core.cli.live.picture import Picture
    from coda_core.cli.live.watch import Watch

    watch = Watch(kernel)
    following = asyncio.create_task(watch.follow())
    try:
        with Live(
            Picture(watch),
            console=terminal.err,
            refresh_per_second=_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        ):
            yield
    finally:
        following.cancel()
        await asyncio.wait([following])
