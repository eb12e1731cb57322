"""Follows a running kernel through its public subscriptions, and keeps what a display wants to know."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import attrs

from coda_core.audio import AudioFrame
from coda_core.cli.terminal import printable
from coda_core.errors import ConversationError
from coda_core.events import Opened
from coda_core.interfaces import Measures
from coda_core.sound import DeviceMeasured, Direction
from coda_core.text import ExtractedText

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from coda_core.conversation import Conversation
    from coda_core.kernel import Kernel
    from coda_core.subscription import Subscription

__all__ = ["SILENT_DBFS", "View", "Watch"]

SILENT_DBFS: Final = -120.0
_MEASURE_S: Final = 1.0
_FRAMES: Final = 4
"""A display that is late wants the newest frames, and no others."""
_KEPT_CHARACTERS: Final = 400
_FALL_DB: Final = 3.0
"""How far a level falls in one frame: fast enough to follow speech, slowly enough to be seen."""


@attrs.define
class View:
    """One conversation, as it is now."""

    id: str
    user_id: str | None = None
    heard_dbfs: float = SILENT_DBFS
    spoken_dbfs: float = SILENT_DBFS
    frames: int = 0
    words: str = ""
    """The latest of what Moshi said."""
    extractor: str | None = None
    """Whose words these are: where a stack has several extractors, those of the first that found any."""

    def take(self, item: AudioFrame | ExtractedText) -> None:
        if isinstance(item, AudioFrame):
            self.frames = item.frame + 1
            self.heard_dbfs = max(_level_dbfs(item.heard), self.heard_dbfs - _FALL_DB)
            self.spoken_dbfs = max(_level_dbfs(item.pcm), self.spoken_dbfs - _FALL_DB)
        elif item.speaker == "moshi" and self.extractor in (None, item.extractor):
            self.extractor = item.extractor
            self.words = f"{self.words} {printable(item.text)}"[-_KEPT_CHARACTERS:].lstrip()


class Watch:
    """What is known of a kernel. Written on the event loop while `follow` runs; read anywhere."""

    def __init__(self, kernel: Kernel) -> None:
        self.views: dict[str, View] = {}
        self.devices: dict[Direction, DeviceMeasured] = {}
        self.measures: Measures = kernel.measures()
        self.frame_s = kernel.info.frame_s
        self._kernel = kernel
        self._tasks: set[asyncio.Task[None]] = set()

    async def follow(self) -> None:
        """Keep up with the kernel until it is left, or until cancelled."""
        events = self._kernel.subscribe(Opened, DeviceMeasured)
        for conversation in self._kernel.conversations.values():
            self._begin(conversation, None)
        self._start(self._measure())
        try:
            with suppress(ConversationError):
                async for event in events:
                    if isinstance(event, DeviceMeasured):
                        # A new one: the old one may be being drawn.
                        self.devices = {**self.devices, event.direction: event}
                    elif isinstance(event, Opened) and event.conversation in self._kernel.conversations:
                        self._begin(self._kernel.conversations[event.conversation], event.user_id)
        finally:
            events.end()
            for task in self._tasks:
                task.cancel()

    def _begin(self, conversation: Conversation, user_id: str | None) -> None:
        if conversation.id not in self.views:
            self.views[conversation.id] = View(conversation.id, user_id)
            self._start(self._read(conversation, self.views[conversation.id]))

    async def _read(self, conversation: Conversation, view: View) -> None:
        try:
            output: Subscription[AudioFrame | ExtractedText]
            output = conversation.subscribe(AudioFrame, ExtractedText, size=_FRAMES)
            async with output:
                with suppress(ConversationError):
                    async for item in output:
                        view.take(item)
        finally:
            self.views.pop(conversation.id, None)

    async def _measure(self) -> None:
        while True:
            self.measures = self._kernel.measures()
            await asyncio.sleep(_MEASURE_S)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _level_dbfs(pcm: NDArray[np.float32]) -> float:
    import numpy as np

    power = float(np.dot(pcm, pcm)) / max(1, len(pcm))
    return max(SILENT_DBFS, 10 * float(np.log10(power))) if power > 0 else SILENT_DBFS
