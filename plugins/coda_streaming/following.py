"""A follower's thread and its bounded queue."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from coda_core.clock import Clock
from coda_core.errors import PluginError
from coda_core.events import Event
from coda_core.interfaces import Follower, StepRecords
from coda_core.records import record
from coda_streaming.containment import Call, Conduct, Containment, Reason
from coda_streaming.histogram import Histogram
from coda_streaming.worker import posted

__all__ = ["FollowerThread"]

T = TypeVar("T")
_logger = logging.getLogger("coda.streaming")


@record(eq=False)
class _Step:
    records: StepRecords
    done_s: float


class FollowerThread:
    """Feeds one follower. Records that find the queue full are skipped and counted; calls are never lost.

    Everything is taken in the order in which it was put, so a call sees all records put before it. A follower in
    quarantine gets no records any more; calls still reach it, unless it hangs.
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
        rules: Containment,
        left_out: Callable[[str, Reason, str], None],
        indispensable: bool = False,
    ) -> None:
        """`left_out` is told once, on F or L, when the follower is put in quarantine: its label, why, and in words."""
        self.label = label
        self.skipped = 0
        """Records that this follower was too slow for."""
        self.conduct = Conduct(rules)
        self.abandoned = ""
        """Why nothing reaches it any more; empty while that is not so."""
        self.indispensable = indispensable
        self.latency = Histogram()
        """From the end of a step to the return of `feed`."""
        self.follower = follower
        self._limit = queue_steps
        self._clock = clock
        self._found = found
        self._relieved = relieved
        self._left_out = left_out
        self._busy_since: float | None = None
        self._hangs = False
        self._waiting: set[asyncio.Future[Any]] = set()
        """What is asked of it now. On L."""
        self._asked: set[concurrent.futures.Future[Any]] = set()
        self._without: set[str] = set()
        """Conversations that it could not open."""
        self._queue: deque[_Step | Callable[[], None]] = deque()
        self._steps = 0
        self._missed: Counter[str] = Counter()
        self._stopping = False
        self._condition = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"coda-follower-{label}", daemon=True)
        self._thread.start()

    @property
    def full(self) -> bool:
        return self._steps >= self._limit and self.conduct.quarantine is None

    def put(self, records: StepRecords, done_s: float) -> None:
        """Queue the records of one step; on W."""
        with self._condition:
            if self._without:
                has = [row for row, name in enumerate(records.conversation) if name not in self._without]
                records = records.narrow(has)
            if self._steps >= self._limit or self.conduct.quarantine is not None:
                self.skipped += len(records)
                self._missed.update(records.conversation)
                return
            if self._missed:
                records = records.after_missing(self._missed)
                for conversation in records.conversation:
                    self._missed.pop(conversation, None)
            self._queue.append(_Step(records, done_s))
            self._steps += 1
            self._condition.notify()

    def post(self, call: Callable[[], None]) -> None:
        with self._condition:
            self._queue.append(call)
            self._condition.notify()

    def ask(self, call: Callable[[], None], answer: concurrent.futures.Future[Any]) -> None:
        """Have `call` settle `answer` on the thread; where the thread hangs it fails with `PluginError`. Any thread."""
        with self._condition:
            if not self.abandoned:
                self._asked.add(answer)
                answer.add_done_callback(self._asked.discard)
                self._queue.append(call)
                self._condition.notify()
                return
        answer.set_exception(PluginError(self.abandoned))

    async def call(self, function: Callable[[], T], kind: Call = "call") -> T:
        """Run `function` on the thread after what is queued before it; return its result.

        Raises `PluginError` where the thread hangs.
        """
        if self.abandoned:
            raise PluginError(self.abandoned)

        def timed() -> T:
            began_s = self._clock.now()
            try:
                return function()
            finally:
                self.conduct.took(kind, self._clock.now() - began_s)

        future = posted(self.post, timed)
        self._waiting.add(future)
        try:
            return await future
        finally:
            self._waiting.discard(future)

    def look(self) -> None:
        """Give the follower up where it is in one call for too long. On L, from time to time."""
        since, limit_s = self._busy_since, self.conduct.rules.hang_s
        hangs = since is not None and self._clock.now() - since > limit_s
        if self.abandoned or hangs == self._hangs:
            return
        self._hangs = hangs
        if not hangs:
            _logger.warning('"%s" is back', self.label)
        elif self.indispensable:
            _logger.critical(
                '"%s" has not returned from a call for %g s. Nothing is stored meanwhile and nobody new gets in; audio '
                "goes on",
                self.label,
                limit_s,
            )
        else:
            self._leave_out("hung")
            futures: tuple[Any, ...] = (*self._waiting, *self._asked)
            for future in futures:
                with suppress(concurrent.futures.InvalidStateError, asyncio.InvalidStateError):
                    future.set_exception(PluginError(self.abandoned))

    def leave_out(self, conversation: str) -> None:
        """Give it no records of a conversation that it could not open."""
        self.conduct.failures += 1
        with self._condition:
            self._without.add(conversation)

    def has(self, conversation: str) -> bool:
        """Return whether it follows a conversation."""
        return not self.abandoned and conversation not in self._without

    def missed(self, conversation: str) -> int:
        """Return how many records of a conversation it was too slow for and was not told of yet."""
        with self._condition:
            return self._missed[conversation]

    def has_missed(self, conversation: str, records: int) -> None:
        """Go on from what `missed` once said."""
        if records:
            with self._condition:
                self._missed[conversation] = records

    def forget(self, conversation: str) -> None:
        with self._condition:
            self._missed.pop(conversation, None)
            self._without.discard(conversation)

    def stop(self) -> None:
        """Take what is queued, then end the thread; one that hangs is left behind."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        if not self.abandoned:
            self._thread.join(None if self.indispensable else self.conduct.rules.hang_s)
            if self._thread.is_alive():
                _logger.error('"%s" does not return from a call; its thread is left behind', self.label)

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._queue:
                    if self._stopping:
                        return
                    self._condition.wait()
                item = self._queue.popleft()
                relieved = isinstance(item, _Step) and self._steps >= self._limit
                if isinstance(item, _Step):
                    self._steps -= 1
            self._busy_since = began_s = self._clock.now()
            if not isinstance(item, _Step):
                item()
            elif self.conduct.quarantine is None:
                self._feed(item, began_s)
            self._busy_since = None
            if self.abandoned:
                return
            if relieved:
                self._relieved()

    def _feed(self, step: _Step, began_s: float) -> None:
        try:
            found = self.follower.feed(step.records)
            if not all(isinstance(event, Event) for event in found):
                raise TypeError(f"feed returned {found!r}; expected events")
            failed = False
        except Exception:
            found, failed = (), True
            if not self.conduct.failures:
                _logger.exception("%s failed on a step and goes on with the next; said once", self.label)
        now = self._clock.now()
        if self.abandoned:
            return
        reason = self.conduct.fed(now - began_s, failed=failed)
        if not failed:
            self.latency.add(now - step.done_s)
        if found:
            self._found(self.label, found)
        if reason is not None:
            self._leave_out(reason)

    def _leave_out(self, reason: Reason) -> None:
        """Close the queue for records, and where it hangs for all else too."""
        message = self.conduct.words(self.label, reason)
        with self._condition:
            self.conduct.quarantine = reason
            waiting = [item for item in self._queue if isinstance(item, _Step)]
            self.skipped += sum(len(step.records) for step in waiting)
            self._steps = 0
            if reason == "hung":
                self.abandoned = message
                self._queue.clear()
            else:
                self._queue = deque(item for item in self._queue if not isinstance(item, _Step))
        self._left_out(self.label, reason, message)
        self._relieved()
