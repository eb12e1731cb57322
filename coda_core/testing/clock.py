"""A clock that moves when a test says so."""

from __future__ import annotations

import asyncio
import threading

__all__ = ["ManualClock"]


class ManualClock:
    """A `coda_core.clock.Clock` whose time stands still between calls of `advance`."""

    def __init__(self, start_s: float = 1000.0, wall_s: float = 1_700_000_000.0) -> None:
        self._now = start_s
        self._wall_offset = wall_s - start_s
        self._lock = threading.Lock()
        self._conditions: set[threading.Condition] = set()
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._now + self._wall_offset

    def advance(self, seconds: float) -> None:
        """Move time on, and wake everybody whose time has come. Safe on any thread."""
        with self._lock:
            self._now += seconds
            due = [future for when, future in self._sleepers if when <= self._now]
            self._sleepers = [each for each in self._sleepers if each[0] > self._now]
            conditions = tuple(self._conditions)
        for future in due:
            future.get_loop().call_soon_threadsafe(_wake, future)
        for condition in conditions:
            with condition:
                condition.notify_all()

    async def sleep_until(self, when: float) -> None:
        with self._lock:
            if when <= self._now:
                return
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._sleepers.append((when, future))
        await future

    def wait(self, condition: threading.Condition, until: float | None) -> None:
        with self._lock:
            if until is not None and until <= self._now:
                return
            self._conditions.add(condition)
        condition.wait()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
