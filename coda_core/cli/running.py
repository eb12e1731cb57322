"""Running a coroutine until it is done or the user stops it."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

import click

__all__ = ["run_until_stopped"]

T = TypeVar("T")

_STOPPING: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Ctrl-C, a service manager, a terminal that was closed."""


class _Stopper:
    """Cancels a task at the first signal and ends the process at the second."""

    def __init__(self) -> None:
        self.code: int | None = None
        """What the process ends with; None while no signal came."""
        self._cancel: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None
        self._lock = threading.Lock()

    def guard(self, task: asyncio.Task[Any]) -> None:
        """From now on `task` is what a signal cancels; one that came before cancels it at once. On its loop."""
        with self._lock:
            self._cancel = asyncio.get_running_loop(), task
            if self.code is not None:
                task.cancel()

    def __call__(self, number: int) -> None:
        with self._lock:
            if self.code is None:
                self.code = 128 + number
                if self._cancel is not None:
                    loop, task = self._cancel
                    with suppress(RuntimeError):  # the loop has closed: there is nothing left to stop
                        loop.call_soon_threadsafe(task.cancel)
                return
        # A model that is being loaded cannot be told to stop, and a thread cannot be killed. What a store has
        # acknowledged is on disk, as after any other kill.
        _last_word("coda: stopped without waiting for the end\n")
        os._exit(128 + number)


def _last_word(text: str) -> None:
    """Write to standard error, unless that would have to wait.

    Whoever reads it may have stopped to, and a thread that waits for them may hold the lock of `sys.stderr`.
    """
    with suppress(OSError, ValueError, AttributeError):
        stream = sys.stderr.fileno()
        if select.select([], [stream], [], 0)[1]:
            os.write(stream, text.encode())


@contextmanager
def _signals_to(stopper: _Stopper) -> Iterator[None]:
    """Have a thread of its own call `stopper` with the number of each signal that asks this process to stop.

    The event loop could do that too, as long as nothing holds it up; but it is when something does, such as a plugin
    that blocks it or a terminal that takes no more output, that people press Ctrl-C again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    receiving, sending = socket.socketpair()
    sending.setblocking(False)  # as `signal.set_wakeup_fd` asks for
    reader = threading.Thread(target=_read_signals, args=(receiving, stopper), name="coda-signals", daemon=True)
    reader.start()
    # Full only where hundreds came before the reader had its turn. Python would report each further one on standard
    # error, and wait for whoever reads that.
    former_fd = signal.set_wakeup_fd(sending.fileno(), warn_on_full_buffer=False)
    # As nohup asks for, what was ignored stays so; None is a handler that is not Python's to put back.
    former = {each: signal.getsignal(each) for each in _STOPPING}
    former = {each: handler for each, handler in former.items() if handler not in (signal.SIG_IGN, None)}
    try:
        for number in former:
            signal.signal(number, _noted)
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(former_fd)
        sending.close()
        reader.join()
        receiving.close()


def _noted(_number: int, _frame: Any) -> None:
    """Do nothing: the signal's number is on its way to the reader by now."""


def _read_signals(receiving: socket.socket, stopper: _Stopper) -> None:
    while numbers := receiving.recv(4096):
        for number in numbers:
            if number in _STOPPING:
                stopper(number)


def run_until_stopped(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` on an event loop and return its result.

    Ctrl-C, SIGTERM and SIGHUP cancel it, so that everything it entered is closed; then `click.exceptions.Exit` is
    raised with 128 and the signal's number. A second signal ends the process at once, whatever its event loop and
    its other threads are doing.
    """
    stopper = _Stopper()

    async def stoppable() -> T:
        task = asyncio.current_task()
        assert task is not None
        stopper.guard(task)
        return await work

    with _signals_to(stopper):
        try:
            return asyncio.run(stoppable())
        except asyncio.CancelledError:
            if stopper.code is not None:
                raise click.exceptions.Exit(stopper.code) from None
            raise
