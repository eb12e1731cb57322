"""What the parts of the suite of streaming managers share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from coda_core.audio import FRAME_SAMPLES, AudioFormat, Block
from coda_core.interfaces import Lane, SlotOptions
from coda_core.testing.conformance.component import Conformance
from coda_core.testing.rig import Rig

__all__ = [
    "ENOUGH",
    "TURNS",
    "ManagerSuite",
    "fail",
    "in_small_blocks",
    "standstill",
    "talk",
    "turns_of_the_loop",
    "voice",
    "void",
]

TURNS: Final = (0, 1, 2, 3, 5, 8, 13, 21, 40)
"""After how many turns of the event loop something is cancelled."""
ENOUGH: Final = 800
"""Frames that are more than any queue of a test may hold."""


class ManagerSuite(Conformance):
    """Runs the manager under test around a processor without a model."""

    most_waiting: ClassVar[int] = 600
    """Frames of one conversation that may wait for the model, and steps that may wait for a follower."""

    @asynccontextmanager
    async def running(self, folder: Path, rig: Rig | None = None) -> AsyncIterator[tuple[Any, Rig]]:
        """Build the manager and run it around `rig`; yields both."""
        rig = rig if rig is not None else Rig()
        async with self.entered(folder) as manager, manager.run(rig.wiring):
            yield manager, rig


def voice(frames: int, seed: int = 0) -> NDArray[np.float32]:
    """Return so many frames of noise, loud enough for speech."""
    return np.random.default_rng(seed).uniform(-0.5, 0.5, frames * FRAME_SAMPLES).astype(np.float32)


def void(_result: object) -> None:
    """Make nothing of a result."""


async def talk(manager: Any, name: str, frames: int, *, seed: int = 0) -> None:
    """Open a conversation, send it so many frames, and close it."""
    lane = await manager.open(name, SlotOptions(seed=1))
    await in_small_blocks(lane, frames, seed=seed)
    await lane.drain()
    await lane.close()


async def in_small_blocks(lane: Lane, frames: int, *, seed: int = 0, drained: bool = False) -> None:
    """Push frame by frame, and let others run in between; `drained` waits for the answers so that none is dropped."""
    whole = voice(min(frames, 64), seed)
    for at in range(frames):
        start = at % 64 * FRAME_SAMPLES
        await lane.push(Block(whole[start : start + FRAME_SAMPLES], AudioFormat()))
        await asyncio.sleep(0)
        if drained and at % 16 == 15:
            await lane.drain()


async def turns_of_the_loop(count: int) -> None:
    """Let others run so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def standstill(work: asyncio.Task[None], progress: Callable[[], int]) -> None:
    """Wait until `work` is done, or goes no further because it waits for room."""
    before = -1
    while not work.done():
        await asyncio.wait([work], timeout=0.3)
        now = progress()
        if now == before:
            return
        before = now


def fail() -> NoReturn:
    """Raise what no contract knows of."""
    raise RuntimeError("it fell over")
