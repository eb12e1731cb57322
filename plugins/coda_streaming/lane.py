"""One conversation's way to the worker."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from coda_core.audio import Block
from coda_core.errors import ConversationBroken, ConversationClosed
from coda_core.interfaces import LaneMeasures, SlotOptions
from coda_streaming.framer import Framer

if TYPE_CHECKING:
    from coda_streaming.manager import Streaming

__all__ = ["Queued", "StreamLane"]

State = Literal["live", "closed", "broken"]


@attrs.frozen(eq=False)
class Queued:
    """A frame that waits for the model."""

    pcm: NDArray[np.float32]
    arrival_s: float
    """When its last sample came in."""


class StreamLane:
    """See `coda_core.interfaces.Lane`.

    Who may touch what: `queue`, `paused`, `gap` and `removed` are guarded by the worker's condition; `frame` and
    `last_arrival_s` belong to the worker; all else belongs to the event loop.
    """

    def __init__(self, manager: Streaming, conversation: str, slot: int, options: SlotOptions) -> None:
        self.conversation = conversation
        self.slot = slot
        self.options = options
        self.queue: deque[Queued] = deque()
        self.paused = False
        self.gap = 0
        """Frames lost since the last step; they belong before the next one."""
        self.removed = False
        self.frame = 0
        """Index of the next step."""
        self.last_arrival_s: float | None = None
        self.state: State = "live"
        self.fault = ""
        self.unanswered = 0
        """Frames that are queued or in a step that was not handed over yet."""
        self.dropped = self.filled = 0
        self.moved = asyncio.Event()
        """Set whenever `unanswered` fell or the lane ended."""
        self._manager = manager
        self._framer = Framer(manager.info.sample_rate_hz, manager.info.frame_samples)

    async def push(self, block: Block) -> None:
        self._require_live()
        await self._enqueue(self._framer.push(block))

    async def drain(self) -> None:
        self._require_live()
        await self._enqueue(self._framer.flush())
        while self.unanswered:
            await self._wait()
        self._require_live()

    async def pause(self) -> None:
        self._require_live()
        worker = self._manager.worker
        with worker.condition:
            self.paused = True
            worker.condition.notify()
        await worker.call(_between_steps)

    async def resume(self) -> None:
        self._require_live()
        worker = self._manager.worker
        with worker.condition:
            self.paused = False
            self.last_arrival_s = None
            worker.condition.notify()

    async def close(self) -> None:
        if self.state == "live":
            self.state = "closed"
            await self._manager.close_lane(self)

    def end(self, state: State, fault: str = "") -> None:
        """Let everybody who waits know that the lane is over."""
        self.state = state
        self.fault = fault
        self.moved.set()

    def measures(self) -> LaneMeasures:
        return self._manager.lane_measures(self)

    @property
    def nan_samples(self) -> int:
        return self._framer.nan_samples

    async def _enqueue(self, frames: Iterator[NDArray[np.float32]]) -> None:
        policy = self._manager.policy
        condition = self._manager.worker.condition
        for frame in frames:
            while policy.overflow is None and len(self.queue) >= policy.buffer_frames:
                await self._wait()
            with condition:
                fits = self._make_room(policy.buffer_frames, policy.overflow)
                if fits:
                    self.queue.append(Queued(frame, self._manager.clock.now()))
                    self.unanswered += 1
                    if len(self.queue) == 1 and self._manager.wants_to_know():
                        condition.notify()
            if not fits and policy.overflow == "disconnect":
                message = f"more than {policy.buffer_frames} frames of input waited for the model"
                await self._manager.break_lane(self, message)
                raise ConversationBroken(message)

    def _make_room(self, limit: int, overflow: str | None) -> bool:
        """Return whether a frame may be added; with the condition held."""
        if len(self.queue) < limit:
            return True
        if overflow == "disconnect":
            return False
        self.dropped += 1
        self._manager.dropped += 1
        self.gap += 1
        if overflow == "drop-oldest":
            self.queue.popleft()
            self.unanswered -= 1
            return True
        return False

    async def _wait(self) -> None:
        """Wait until the worker has moved on; raises where the lane has ended."""
        self.moved.clear()
        await self.moved.wait()
        self._require_live()

    def _require_live(self) -> None:
        if self.state == "broken":
            raise ConversationBroken(self.fault)
        if self.state == "closed":
            raise ConversationClosed(f"conversation {self.conversation} is closed")


def _between_steps() -> None:
    """Wait for the step under way: a call on the worker runs between two steps."""
