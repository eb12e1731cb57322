"""A state store that is held open as a kernel holds it, here or in another process."""

from __future__ import annotations

import asyncio
import logging
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import attrs

from coda_core.clock import SystemClock
from coda_core.interfaces import Component, Context

__all__ = ["Elsewhere", "opened"]


@contextmanager
def opened(component: Component[Any], config: Any, context: Context) -> Iterator[Any]:
    """Yield the store. Its event loop runs on a thread of its own meanwhile, and calls come from another one."""
    entered: Future[tuple[Any, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    left: Future[None] = Future()

    async def hold() -> None:
        leave = asyncio.Event()
        made = component.factory(config, context)
        assert isinstance(made, AbstractAsyncContextManager), "a store's factory is an async context manager"
        async with made as store:
            entered.set_result((store, asyncio.get_running_loop(), leave))
            await leave.wait()

    def run() -> None:
        try:
            asyncio.run(hold())
        except BaseException as error:
            (left if entered.done() else entered).set_exception(error)
        else:
            left.set_result(None)

    thread = threading.Thread(target=run, name="coda-conformance-loop", daemon=True)
    thread.start()
    store, loop, leave = entered.result()
    try:
        yield store
    finally:
        loop.call_soon_threadsafe(leave.set)
        left.result()
        thread.join()


@attrs.frozen
class Elsewhere:
    """Another process that has the store open. It is killed when the test is over."""

    process: BaseProcess
    pipe: Connection
    patience_s: float
    """How long it may take to say something."""

    @classmethod
    def start(
        cls,
        component: Component[Any],
        config: Any,
        folder: Path,
        patience_s: float,
        act: Callable[..., None],
        *args: object,
    ) -> Elsewhere:
        """Open the store in a new process and run ``act(store, pipe, ...)`` there.

        Raises TypeError where the component cannot be named there: its factory and its config class are to be found
        at the top of a module, as `pickle` needs it.
        """
        try:
            made = pickle.dumps((component, config))
        except Exception as error:
            raise TypeError(
                f"the component {component.name} cannot be handed to another process ({error}); define its factory "
                "and its config class at the top of a module"
            ) from error
        # A process that never had a thread is forked for each: a fork of this one could hang, a new one is slow.
        processes = get_context("forkserver")
        processes.set_forkserver_preload([__name__])
        here, there = processes.Pipe()
        process = processes.Process(target=_run, args=(made, folder, there, act, args), daemon=True)
        process.start()
        there.close()
        return cls(process, here, patience_s)

    def heard(self) -> Any:
        """Return what it says next; fails where it ends or hangs instead."""
        assert self.pipe.poll(self.patience_s), f"another process did not go on within {self.patience_s:g} s"
        try:
            return self.pipe.recv()
        except EOFError:
            raise AssertionError("another process failed: its own message is above") from None

    def tell(self, message: str) -> None:
        """Have it go on."""
        self.pipe.send(message)

    def kill(self) -> list[Any]:
        """End it as ``kill -9`` does, and return what it had still said."""
        self.process.kill()
        self.process.join()
        said = []
        try:
            while True:
                said.append(self.pipe.recv())
        except (EOFError, ConnectionResetError):
            return said

    def end(self) -> int | None:
        """Wait until it is done; return its exit code."""
        self.process.join()
        return self.process.exitcode


def _run(made: bytes, folder: Path, pipe: Connection, act: Any, args: Any) -> None:
    component, config = pickle.loads(made)
    context = Context(
        base_dir=folder,
        cache_dir=folder / "cache",
        clock=SystemClock(),
        logger=logging.getLogger(f"coda.conformance.{component.name}"),
        progress=lambda _what, _done, _total: None,
    )
    with opened(component, config, context) as store:
        act(store, pipe, *args)
