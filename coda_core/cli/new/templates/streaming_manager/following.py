"""A follower's thread."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from coda_core import Event
from coda_core.interfaces import Follower, StepRecord, StepRecords


class Following:
    """Feeds one follower, in the order in which it was given things. On the event loop, but for what says otherwise."""

    def __init__(
        self,
        label: str,
        follower: Follower,
        found: Callable[[str, Sequence[Event]], None],
        moved: Callable[[], None],
        logger: logging.Logger,
    ) -> None:
        self.label, self.follower = label, follower
        self.waiting = 0
        """Steps that it was given and has not taken."""
        self._found, self._moved, self._logger = found, moved, logger
        self._failed = False
        self._loop = asyncio.get_running_loop()
        self.thread = ThreadPoolExecutor(1, thread_name_prefix=f"coda-follower-{label}")

    def put(self, records: Sequence[StepRecord]) -> None:
        self.waiting += 1
        self.thread.submit(self.follower.feed, StepRecords.of(records)).add_done_callback(self._on_fed)

    def _on_fed(self, fed: Future[Sequence[Event]]) -> None:
        """On the follower's thread."""
        self._loop.call_soon_threadsafe(self._take, fed)

    def _take(self, fed: Future[Sequence[Event]]) -> None:
        self.waiting -= 1
        error = fed.exception()
        if error is None:
            self._found(self.label, fed.result())
        elif not self._failed:
            self._failed = True
            self._logger.error("%s failed on a step and goes on with the next; said once", self.label, exc_info=error)
        self._moved()

    async def call(self, function: Callable[[], Any]) -> Any:
        """Run `function` on the thread, after what was put before it."""
        return await self._loop.run_in_executor(self.thread, function)
