"""One run of a stack, counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Literal

import attrs

from coda_core.config import ResolvedStack
from coda_core.errors import ConversationError
from coda_core.events import Event, Failed, Fault, Listening, Opened
from coda_core.interfaces import Measures, Progress
from coda_core.kernel import Kernel
from coda_core.sound import DeviceMeasured, Direction
from coda_core.subscription import Subscription
from coda_core.text import ExtractedText

__all__ = ["Beside", "Session", "Tally"]

Outcome = Literal["finished", "interrupted", "failed"]
Beside = Callable[[Kernel], AbstractAsyncContextManager[None]]


@attrs.define(kw_only=True)
class Tally:
    """What was counted."""

    stack: str
    processor: str
    """The one that ran: the stack's own, or its fallback."""
    frame_s: float
    realtime: bool
    """Whether frames were due in real time."""
    outcome: Outcome = "failed"
    conversations: int = 0
    texts: int = 0
    faults: int = 0
    measures: Measures | None = None
    devices: dict[Direction, DeviceMeasured] = attrs.field(factory=dict)
    """The microphone and loudspeaker, as they were last."""
    files: tuple[Path, ...] = ()

    def count(self, event: Event) -> None:
        match event:
            case Opened():
                self.conversations += 1
            case ExtractedText():
                self.texts += 1
            case Fault() | Failed():
                self.faults += 1
            case DeviceMeasured():
                self.devices[event.direction] = event


class Session:
    """Runs a kernel and counts."""

    def __init__(self, listening: Callable[[str], None], recording: Callable[[], None] = lambda: None) -> None:
        """`listening` is told the address of every transport that takes callers.

        `recording` is called where the conversation of the stack's own audio source is recorded.
        """
        self.tally: Tally | None = None
        """None until the kernel is running."""
        self._listening = listening
        self._recording = recording

    async def hold(self, kernel: Kernel, progress: Progress, beside: Beside) -> None:
        """Run `kernel` until its work is done, or until cancelled; `beside` is entered while it serves."""
        began = time.time()
        counting: asyncio.Task[None] | None = None
        try:
            progress("starting", 0.0, 0.0)
            async with kernel:
                progress("starting", 1.0, 1.0)
                tally = self.tally = Tally(
                    stack=kernel.stack.name,
                    processor=kernel.processor.label,
                    frame_s=kernel.info.frame_s,
                    realtime=kernel.realtime,
                )
                events: Subscription[Event] = kernel.subscribe()
                local = kernel.stack.audio_source is not None
                counting = asyncio.create_task(self._count(events, tally, local=local))
                progress("running, Ctrl-C ends it", 0.0, 0.0)
                try:
                    async with beside(kernel):
                        await kernel.serve()
                    tally.outcome = "finished"
                except asyncio.CancelledError:
                    tally.outcome = "interrupted"
                    raise
                finally:
                    tally.measures = kernel.measures()
        finally:
            if counting is not None:
                events.end()
                await counting
                tally.files = tuple(_written(kernel.stack, began))

    async def _count(self, events: Subscription[Event], tally: Tally, *, local: bool) -> None:
        try:
            async for event in events:
                tally.count(event)
                if isinstance(event, Listening):
                    self._listening(event.url)
                if local and isinstance(event, Opened) and event.options.get("record"):
                    self._recording()
        except ConversationError:
            return


def _written(stack: ResolvedStack, since_s: float) -> list[Path]:
    """Return the files that transports and the store name and that were written since then, in wall-clock time."""
    paths = [
        value
        for chosen in (*stack.transports, stack.state_store)
        for value in attrs.asdict(chosen.config, recurse=False).values()
        if isinstance(value, Path)
    ]
    # File systems keep times less finely than clocks do.
    return [path for path in paths if path.is_file() and path.stat().st_mtime >= since_s - 1.0]
