"""One conversation's way to the worker."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from coda_core.audio import AudioFormat, Block, rounded
from coda_core.commands import Command
from coda_core.errors import ConversationBroken, ConversationClosed, ConversationParked
from coda_core.interfaces import LaneMeasures, ParkedState, SlotOptions
from coda_core.records import record
from coda_streaming.framer import Framer
from coda_streaming.lane_state import LaneState

if TYPE_CHECKING:
    from coda_streaming.manager import Streaming

__all__ = ["Queued", "StreamLane"]

State = Literal["live", "closed", "broken", "parked"]


@record(eq=False)
class Queued:
    """A frame that waits for the model."""

    pcm: NDArray[np.float32]
    arrival_s: float
    """When its last sample came in."""


class StreamLane:
    """See `coda_core.interfaces.Lane`.

    Who may touch what: `queue`, `commands`, `paused`, `gap`, `frame` and `removed` are guarded by the worker's
    condition; `said`, `prompt_left`, `last_arrival_s` and `nan_heard` belong to the worker; all else belongs to the
    event loop.
    """

    def __init__(self, manager: Streaming, conversation: str, slot: int, options: SlotOptions) -> None:
        self.conversation = conversation
        self.slot = slot
        self.options = options
        self.queue: deque[Queued] = deque()
        self.commands: list[Command] = []
        """Those that the processor gets before the next step."""
        self.paused = False
        self.paused_since_s = 0.0
        self.gap = 0
        """Frames lost since the last step; they belong before the next one."""
        self.removed = False
        self.frame = 0
        """Index of the next step to be taken."""
        self.said: dict[int, str] = {}
        """Texts by number that the processor was asked to say and that are not over."""
        self.prompt_left = 0
        """Steps that the prompt still takes; no input is heard meanwhile."""
        self.last_arrival_s: float | None = None
        self.nan_heard = 0
        """Samples that were not finite in frames that came whole."""
        self.state: State = "live"
        self.fault = ""
        self.unanswered = 0
        """Frames that are queued or in a step that was not handed over yet."""
        self.dropped = self.filled = 0
        self.frames_before = self.late_before = 0
        """Of the time before it was parked."""
        self.opening = True
        self.prompted = asyncio.Event()
        """Set when the prompt is taken in or the lane has ended."""
        self.moved = asyncio.Event()
        """Set whenever `unanswered` fell or the lane ended."""
        self._manager = manager
        self._policy = manager.policy
        self._worker = manager.worker
        self._clock = manager.clock
        self._framer = Framer(manager.info.sample_rate_hz, manager.info.frame_samples)
        self._parking = False
        self._pushing = 0

    async def push(self, block: Block) -> None:
        self._require_open()
        frames = self._framer.push(block)
        if len(frames) == 1 and len(self.queue) < self._policy.buffer_frames:
            self._put(frames[0])  # what live callers send: just one frame, and there is room for it
        else:
            await self._enqueue(frames)

    async def drain(self) -> None:
        self._require_open()
        await self._enqueue(self._framer.flush())
        while self.unanswered:
            await self._wait()
        self.require_live()

    async def pause(self) -> None:
        self.require_live()
        worker = self._worker
        with worker.condition:
            self.paused = True
            self.paused_since_s = self._clock.now()
            worker.condition.notify()
        await worker.call(_between_steps)

    async def resume(self) -> None:
        self.require_live()
        worker = self._worker
        with worker.condition:
            self.paused = False
            self.last_arrival_s = None
            worker.condition.notify()

    def command(self, command: Command) -> int:
        self._require_open()
        with self._worker.condition:
            self.commands.append(command)
            return self.frame

    async def park(self, save: Callable[[ParkedState], Awaitable[None]]) -> None:
        self.require_live()
        await self.pause()
        self._parking = True
        self.moved.set()
        try:
            while self._pushing:
                await self._wait()
            await self._manager.park_lane(self, save)
        finally:
            self._parking = False

    async def checkpoint(self) -> ParkedState:
        self.require_live()
        return await self._manager.checkpoint_lane(self)

    async def close(self) -> None:
        if self.state == "live":
            self.state = "closed"
            await self._manager.close_lane(self)

    def end(self, state: State, fault: str = "") -> None:
        """Let everybody who waits know that the lane is over."""
        self.state = state
        self.fault = fault
        self.moved.set()
        self.prompted.set()

    def measures(self) -> LaneMeasures:
        return self._manager.lane_measures(self)

    @property
    def nan_samples(self) -> int:
        return self._framer.nan_samples + self.nan_heard

    @property
    def parking(self) -> bool:
        """Whether it is on its way out of its slot: it takes no input then."""
        return self._parking

    def framing(self) -> tuple[AudioFormat | None, NDArray[np.float32]]:
        """See `Framer.export`."""
        return self._framer.export()

    def restore(self, frame: int, state: LaneState) -> None:
        """Go on where another lane was parked, but for its queue; before the worker knows of this one."""
        self.paused, self.paused_since_s = True, self._clock.now()
        self.frame = self.frames_before = frame
        self.said = dict(state.said)
        self.prompt_left, self.gap = state.prompt_left, state.gap
        self.dropped, self.filled, self.late_before = state.dropped, state.filled, state.late
        self._framer.restore(state.format, state.rest, state.nan_samples)

    def refill(self, queue: Sequence[NDArray[np.float32]]) -> None:
        """Queue the frames that waited where the conversation was parked, as if they came in now."""
        now = self._clock.now()
        with self._worker.condition:
            self.queue.extend(Queued(pcm, now) for pcm in queue)
            self.unanswered += len(queue)

    async def _enqueue(self, frames: Iterable[NDArray[np.float32]]) -> None:
        limit, overflow = self._policy.buffer_frames, self._policy.overflow
        self._pushing += 1
        try:
            for frame in map(rounded, frames) if self.options.record else frames:
                # On its way out of the slot it takes the rest of the block: half of one could not be sent again.
                while overflow is None and len(self.queue) >= limit and not self._parking:
                    await self._wait()
                if not self._put(frame) and overflow == "disconnect":
                    message = f"more than {limit} frames of input waited for the model"
                    await self._manager.break_lane(self, message)
                    raise ConversationBroken(message)
        finally:
            self._pushing -= 1
            self.moved.set()

    def _put(self, frame: NDArray[np.float32]) -> bool:
        """Queue a frame, after making room by policy; return whether it was taken."""
        queued = Queued(frame, self._clock.now())
        queue = self.queue
        with self._worker.lock:
            if len(queue) >= self._policy.buffer_frames and not self._parking and not self._make_room():
                return False
            queue.append(queued)
            self.unanswered += 1
            if len(queue) == 1 and self._manager.wants_to_know(self):
                self._worker.condition.notify()
        return True

    def _make_room(self) -> bool:
        """Lose a frame where the queue is full; return whether another may be added. With the condition held."""
        if self._policy.overflow == "disconnect":
            return False
        self.dropped += 1
        self._manager.dropped += 1
        self.gap += 1
        if self._policy.overflow == "drop-oldest":
            self.queue.popleft()
            self.unanswered -= 1
            return True
        return False

    async def _wait(self) -> None:
        """Wait until something has moved; raises where the lane has ended."""
        self.moved.clear()
        await self.moved.wait()
        self.require_live()

    def require_live(self) -> None:
        """Raise where the lane has ended."""
        if self.state == "live":
            return
        if self.state == "broken":
            raise ConversationBroken(self.fault)
        if self.state == "closed":
            raise ConversationClosed(f"conversation {self.conversation} is closed")
        raise ConversationParked(f"conversation {self.conversation} is parked; resume it first")

    def _require_open(self) -> None:
        """Raise where the lane takes no input: it has ended, or is on its way out of its slot."""
        if self.state == "live" and not self._parking:
            return
        self.require_live()
        if self._parking:
            raise ConversationParked(f"conversation {self.conversation} is being parked; resume it first")


def _between_steps() -> None:
    """Wait for the step under way: a call on the worker runs between two steps."""
