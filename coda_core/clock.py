"""Time, as one replaceable thing.

Components ask their `Context.clock` and nothing else, so that tests move time by hand
(`coda_core.testing.ManualClock`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    import threading

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """A monotonic clock, the wall clock, and two ways to wait."""

    def now(self) -> float:
        """Seconds on a clock that never goes back; safe on any thread."""

    def wall(self) -> float:
        """Seconds since 1970-01-01 UTC; safe on any thread."""

    async def sleep_until(self, when: float) -> None:
        """Wait on the event loop until `now()` is at least `when`."""

    def wait(self, condition: threading.Condition, until: float | None) -> None:
        """Wait on a thread until `condition`, which the caller holds, is notified or `now()` reaches `until`.

        May return early: callers check their condition again, in a loop.
        """


@attrs.frozen
class SystemClock:
    """The machine's own clocks. Any two are the same clock."""

    def now(self) -> float:
        return time.perf_counter()

    def wall(self) -> float:
        return time.time()

    async def sleep_until(self, when: float) -> None:
        import asyncio

        await asyncio.sleep(max(0.0, when - self.now()))

    def wait(self, condition: threading.Condition, until: float | None) -> None:
        condition.wait(None if until is None else max(0.0, until - self.now()))
