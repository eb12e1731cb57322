"""The thread that steps models.

Invariants: everything that touches a processor runs on its worker; a call runs between two steps; no lock is held
while a processor steps; every pipeline that is due steps once before any steps twice.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, Protocol, TypeVar

from coda_core.clock import Clock

__all__ = ["Pipelined", "Worker", "on_thread", "posted"]

T = TypeVar("T")
_logger = logging.getLogger("coda.streaming")


class Pipelined(Protocol):
    """One kernel's share of a worker."""

    def due(self) -> float | None:
        """Return when its next step should start, on the worker's clock; None where nothing is ready.

        Called with the worker's condition held.
        """

    def step(self) -> None:
        """Do one step. What it raises is a defect, and ends this pipeline alone."""

    def fail(self, error: BaseException) -> None:
        """Never be due again, and tell who waits."""


class Worker:
    """A thread shared by the pipelines of one process whose processors name the same worker."""

    _shared: ClassVar[dict[tuple[str, Clock], Worker]] = {}
    _registry: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, name: str, clock: Clock) -> None:
        self.lock = threading.RLock()
        """The condition's: where nobody is to be notified it is quicker than that."""
        self.condition = threading.Condition(self.lock)
        """Guards the queues that `Pipelined.due` looks at; notify it when one of them changed."""
        self.busy_s = 0.0
        """What steps took so far, of whichever pipeline; on the worker."""
        self._clock = clock
        self._calls: deque[Callable[[], None]] = deque()
        self._pipelines: list[Pipelined] = []
        self._stopping = False
        self._users = 0
        self._thread = threading.Thread(target=self._run, name=f"coda-worker-{name}", daemon=True)

    @classmethod
    def acquire(cls, name: str | None, clock: Clock) -> Worker:
        """Return the process's worker of that name, started; None means one that is not shared."""
        with cls._registry:
            worker = cls._shared.get((name, clock)) if name is not None else None
            if worker is None:
                worker = cls(name or "own", clock)
                worker._thread.start()
                if name is not None:
                    cls._shared[name, clock] = worker
            worker._users += 1
            return worker

    def release(self) -> None:
        """Give the worker back; the last one to do so ends its thread and waits for it."""
        with self._registry:
            self._users -= 1
            if self._users:
                return
            for key, worker in tuple(self._shared.items()):
                if worker is self:
                    del self._shared[key]
        with self.condition:
            self._stopping = True
            self.condition.notify()
        self._thread.join()

    def add(self, pipeline: Pipelined) -> None:
        with self.condition:
            self._pipelines.append(pipeline)
            self.condition.notify()

    def remove(self, pipeline: Pipelined) -> None:
        with self.condition:
            self._pipelines.remove(pipeline)

    def post(self, call: Callable[[], None]) -> None:
        """Run `call` on the worker, between steps. It must not raise."""
        with self.condition:
            self._calls.append(call)
            self.condition.notify()

    async def call(self, function: Callable[[], T]) -> T:
        """Run `function` on the worker, between steps, and return its result or raise what it raised.

        It runs even where the caller is cancelled while waiting.
        """
        return await on_thread(self.post, function)

    def _run(self) -> None:
        while True:
            with self.condition:
                calls, ready = self._next()
            if not calls and not ready:
                return
            for call in calls:
                call()
            for pipeline in ready:
                began_s = self._clock.now()
                try:
                    pipeline.step()
                except BaseException as error:
                    _logger.critical("a pipeline failed and is taken off its worker", exc_info=error)
                    pipeline.fail(error)
                self.busy_s += self._clock.now() - began_s

    def _next(self) -> tuple[list[Callable[[], None]], list[Pipelined]]:
        """Wait for work; nothing at all means that the worker is to end."""
        while True:
            calls = list(self._calls)
            self._calls.clear()
            due = [(pipeline.due(), pipeline) for pipeline in self._pipelines]
            now = self._clock.now()
            ready = [pipeline for when, pipeline in due if when is not None and when <= now]
            if calls or ready or self._stopping:
                return calls, ready
            later = [when for when, _ in due if when is not None]
            self._clock.wait(self.condition, min(later, default=None))


async def on_thread(post: Callable[[Callable[[], None]], None], function: Callable[[], T]) -> T:
    """Have `post` run `function` on another thread; return its result here, on the event loop."""
    return await posted(post, function)


def posted(post: Callable[[Callable[[], None]], None], function: Callable[[], T]) -> asyncio.Future[T]:
    """Have `post` run `function` on another thread; return where its result will be, on the event loop.

    Who no longer waits for the thread may settle the future: what comes later is thrown away.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    def run() -> None:
        try:
            result, error = function(), None
        except BaseException as raised:
            result, error = None, raised
        with suppress(RuntimeError):  # a thread that hung may come back when the loop is gone
            loop.call_soon_threadsafe(settle, result, error)

    post(run)
    return future
