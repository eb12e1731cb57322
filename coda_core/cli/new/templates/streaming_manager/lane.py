"""One conversation's way to the model. On the event loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Literal

import numpy as np
from coda_core import Block, ConversationBroken, ConversationClosed, ConversationParked, SlotOptions
from coda_core.commands import Command, Say
from coda_core.interfaces import LaneMeasures, ParkedState
from numpy.typing import NDArray

from coda_example.following import Following
from coda_example.framing import Framing
from coda_example.timing import Times

if TYPE_CHECKING:
    from coda_example.example import Example


class ExampleLane:
    """See `coda_core.interfaces.Lane`."""

    def __init__(self, manager: Example, conversation: str, slot: int, options: SlotOptions) -> None:
        self.conversation, self.slot, self.options = conversation, slot, options
        self.queue: deque[tuple[NDArray[np.float32], float]] = deque()
        """Frames that wait, and when each came."""
        self.commands: list[Command] = []
        self.said: dict[int, str] = {}
        """Texts by number that the model was asked to say."""
        self.followers: list[Following] = []
        """Those that were told of it."""
        self.frame = 0
        """Index of the next step."""
        self.paused = True
        self.state: Literal["live", "closed", "broken", "parked"] = "live"
        self.fault = ""
        self.stepping = False
        self.parking = False
        self.framing = Framing(manager.info.sample_rate_hz, manager.info.frame_samples)
        self.lateness_s, self.end_to_end_s = Times(), Times()
        self._manager = manager
        self._pushing = 0

    @property
    def ready(self) -> bool:
        return bool(self.queue) and not self.paused and self.state == "live"

    async def push(self, block: Block) -> None:
        self.require_live()
        if self.parking:
            raise ConversationParked(f"conversation {self.conversation} is being parked; resume it first")
        await self._enqueue(self.framing.push(block))

    async def drain(self) -> None:
        self.require_live()
        await self._enqueue(self.framing.flush())
        await self._until(lambda: not self.queue and not self.stepping)

    async def pause(self) -> None:
        self.require_live()
        self.paused = True
        await self._until(lambda: not self.stepping)

    async def resume(self) -> None:
        self.require_live()
        self.paused = False
        self._manager.moved()

    def command(self, command: Command) -> int:
        self.require_live()
        if isinstance(command, Say):
            self.said[command.id] = command.text
        self.commands.append(command)
        return self.frame

    async def park(self, save: Callable[[ParkedState], Awaitable[None]]) -> None:
        await self.pause()
        self.parking = True
        self._manager.moved()
        try:
            await self._until(lambda: not self._pushing)
            await save(await self._manager.export(self))
            self.require_live()
        finally:
            self.parking = False
        self.end("parked")
        await self._manager.free(self, flush=False)

    async def close(self) -> None:
        if self.state == "live":
            self.end("closed")
            await self._manager.free(self)

    def end(self, state: Literal["closed", "broken", "parked"], fault: str = "") -> None:
        self.state, self.fault = state, fault
        self._manager.moved()

    def measures(self) -> LaneMeasures:
        return LaneMeasures(
            frames=self.frame,
            queued_frames=len(self.queue),
            next_frame=self.frame + len(self.queue),
            dropped_frames=0,
            late_frames=0,
            filled_frames=0,
            nan_samples=self.framing.nan_samples,
            paused=self.paused,
            lateness_s=self.lateness_s.distribution(),
            end_to_end_s=self.end_to_end_s.distribution(),
        )

    def require_live(self) -> None:
        """Raise where it is over, and say how it ended."""
        if self.state == "broken":
            raise ConversationBroken(self.fault)
        if self.state == "closed":
            raise ConversationClosed(f"conversation {self.conversation} is closed")
        if self.state == "parked":
            raise ConversationParked(f"conversation {self.conversation} is parked; resume it first")

    async def _enqueue(self, frames: Iterable[NDArray[np.float32]]) -> None:
        self._pushing += 1
        try:
            for frame in frames:
                # On its way out of the slot it takes the rest of a block: half of one could not be sent again.
                await self._until(lambda: len(self.queue) < self._manager.config.buffer_frames or self.parking)
                self.queue.append((frame, self._manager.clock.now()))
                self._manager.moved()
        finally:
            self._pushing -= 1
            self._manager.moved()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._manager.change()
            self.require_live()
