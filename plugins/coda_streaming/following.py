"""A follower's thread and its bounded queue."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TypeVar

from coda_core.clock import Clock
from coda_core.events import Event
from coda_core.interfaces import Follower, StepRecords
from coda_core.records import record
from coda_streaming.histogram import Histogram
from coda_streaming.worker import on_thread

__all__ = ["FollowerThread"]

T = TypeVar("T")
_logger = logging.getLogger("coda.streaming")


@record(eq=False)
class _Step:
    records: StepRecords
    done_s: float


class FollowerThread:
    """Feeds one follower. Records that find the queue full are skipped and counted; calls are never lost.

    Everything is taken in the order in which it was put, so a call sees all records put before it.
    """

    def __init__(
        self,
        label: str,
        follower: Follower,
        *,
        queue_steps: int,
        clock: Clock,
        found: Callable[[str, Sequence[Event]], None],
        relieved: Callable[[], None],
    ) -> None:
        self.label = label
        self.skipped = 0
        """Records that this follower was too slow for."""
        self.failures = 0
        """Calls of `feed` that raised."""
        self.latency = Histogram()
        """From the end of a step to the return of `feed`."""
        self.follower = follower
        self._limit = queue_steps
        self._clock = clock
        self._found = found
        self._relieved = relieved
        self._queue: SimpleQueue[_Step | Callable[[], None] | None] = SimpleQueue()
        """What to do, in order; None ends the thread."""
        self._steps = 0
        self._missed: Counter[str] = Counter()
        self._lock = threading.Lock()
        """Guards the number of steps in the queue, and what was missed."""
        self._thread = threading.Thread(target=self._run, name=f"coda-follower-{label}", daemon=True)
        self._thread.start()

    @property
    def full(self) -> bool:
        return self._steps >= self._limit

    def put(self, records: StepRecords, done_s: float) -> None:
        """Queue the records of one step; on W."""
        with self._lock:
            if self._steps >= self._limit:
                self.skipped += len(records)
                self._missed.update(records.conversation)
                return
            self._steps += 1
            if self._missed:
                records = records.after_missing(self._missed)
                for conversation in records.conversation:
                    self._missed.pop(conversation, None)
        self._queue.put(_Step(records, done_s))

    def post(self, call: Callable[[], None]) -> None:
        self._queue.put(call)

    async def call(self, function: Callable[[], T]) -> T:
        """Run `function` on the thread after what is queued before it; return its result."""
        return await on_thread(self.post, function)

    def missed(self, conversation: str) -> int:
        """Return how many records of a conversation it was too slow for and was not told of yet."""
        with self._lock:
            return self._missed[conversation]

    def has_missed(self, conversation: str, records: int) -> None:
        """Go on from what `missed` once said."""
        if records:
            with self._lock:
                self._missed[conversation] = records

    def forget(self, conversation: str) -> None:
        with self._lock:
            self._missed.pop(conversation, None)

    def stop(self) -> None:
        """Take what is queued, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if isinstance(item, _Step):
                with self._lock:
                    was_full = self._steps >= self._limit
                    self._steps -= 1
                self._feed(item)
                if was_full:
                    self._relieved()
            else:
                item()

    def _feed(self, step: _Step) -> None:
        try:
            found = self.follower.feed(step.records)
            if not all(isinstance(event, Event) for event in found):
                raise TypeError(f"feed returned {found!r}; expected events")
        except Exception:
            self.failures += 1
            if self.failures == 1:
                _logger.exception("%s failed on a step and goes on with the next; said once", self.label)
            return
        self.latency.add(self._clock.now() - step.done_s)
        if found:
            self._found(self.label, found)
