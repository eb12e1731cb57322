"""Running what may hang on a thread that nothing waits for at the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["in_background"]

T = TypeVar("T")


def in_background(work: Callable[[], T], discard: Callable[[T], None] | None = None) -> asyncio.Future[T]:
    """Run `work` on a thread of its own and return a future of its result.

    The thread is a daemon, unlike those of an executor: a sound system that hangs must not keep the process from
    ending. Where the future was cancelled meanwhile, `discard` gets the result, on that thread or another.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def hand_over(result: T) -> None:
        if not future.cancelled():
            future.set_result(result)
        elif discard is not None:
            threading.Thread(target=discard, args=(result,), daemon=True).start()

    def fail(error: BaseException) -> None:
        if not future.cancelled():
            future.set_exception(error)

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            _post(loop, lambda error=error: fail(error))  # type: ignore[misc]
            return
        if not _post(loop, lambda: hand_over(result)) and discard is not None:
            discard(result)

    threading.Thread(target=run, name="coda-sound", daemon=True).start()
    return future


def _post(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> bool:
    """Call on the event loop; return False where that is closed already."""
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:
        return False
    return True
