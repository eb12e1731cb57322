"""Blocks on their way from a microphone's callback to the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from coda_core.clock import Clock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Inbox"]


class Inbox:
    """A bounded queue: `put` belongs to the callback and never waits, everything else to the event loop.

    Above `most_s` of audio the oldest block is lost and counted: the event loop has stood still for so long.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock, *, most_s: float) -> None:
        self.wake = asyncio.Event()
        """Set when there is something new."""
        self.dropped_s = 0.0
        self._loop = loop
        self._clock = clock
        self._most_s = most_s
        self._blocks: deque[tuple[NDArray[np.float32], float]] = deque()

    def put(self, pcm: NDArray[np.float32], sample_rate_hz: int) -> None:
        """Queue a copy of a block with the time of its arrival."""
        block_s = len(pcm) / sample_rate_hz
        if len(self._blocks) * block_s >= self._most_s:
            self._blocks.popleft()
            self.dropped_s += block_s
        self._blocks.append((pcm.copy(), self._clock.now()))
        # The loop may be closed while a last block comes.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.wake.set)

    def take(self) -> tuple[NDArray[np.float32], float] | None:
        """Return the next block and when it arrived; None where there is none."""
        return self._blocks.popleft() if self._blocks else None

    def clear(self) -> None:
        self._blocks.clear()
