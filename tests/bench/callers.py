"""Callers of a kernel's conversations who talk in real time, in a process of their own.

They reach the kernel through one socket, which stands for the leanest transport there could be. What they note is
therefore seen from outside: from the moment at which a block was due, whether or not its sender was on time, to the
arrival of the answer in the other process.
"""

from __future__ import annotations

import asyncio
import io
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs
import numpy as np
from caller_process import HEADER, MESSAGE_BYTES
from numpy.typing import NDArray

from coda_core import AudioFrame, Conversation

__all__ = ["Callers", "Heard"]


@attrs.frozen(eq=False)
class Heard:
    """What the callers noted, in seconds on `time.monotonic`; ``[callers, blocks]``, NaN where nothing came."""

    due: NDArray[np.float64]
    sent: NDArray[np.float64]
    received: NDArray[np.float64]
    """When the answer of the same number came; where blocks were dropped, answers belong to later blocks."""
    cpu_s: float
    """What the callers' process took of a processor."""

    @property
    def end_to_end_s(self) -> NDArray[np.float64]:
        """``[answers]``"""
        taken: NDArray[np.float64] = (self.received - self.due)[np.isfinite(self.received)]
        return taken

    @property
    def behind_s(self) -> NDArray[np.float64]:
        """How late blocks were sent, ``[blocks sent]``."""
        late: NDArray[np.float64] = (self.sent - self.due)[np.isfinite(self.sent)]
        return late

    def within(self, windows: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
        """Return end to end of the answers that came in any of `windows`."""
        inside = np.zeros(self.received.shape, np.bool_)
        for begin, end in windows:
            inside |= (self.received >= begin) & (self.received < end)
        taken: NDArray[np.float64] = (self.received - self.due)[inside]
        return taken


class Callers:
    """One caller for each of `conversations`, who sends `blocks` blocks of 80 ms at a phase of its own.

    An async context manager: they begin on entering, and fall silent on leaving at the latest.
    """

    heard: Heard
    """Known after leaving."""

    def __init__(self, conversations: Sequence[Conversation], blocks: int) -> None:
        self._conversations = conversations
        self._blocks = blocks
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(Path(__file__).with_name("caller_process.py")),
                *map(str, (theirs.fileno(), len(self._conversations), self._blocks)),
                pass_fds=[theirs.fileno()],
                stdout=asyncio.subprocess.PIPE,
            )
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._sending = asyncio.create_task(self._send(reader))
        self._tasks = [self._sending, *map(asyncio.create_task, map(self._answer, range(len(self._conversations))))]
        return self

    async def finished(self) -> None:
        """Wait until every block was sent and answered."""
        await self._sending
        for conversation in self._conversations:
            await conversation.drain()
        # An answer is handed to its reader a turn of the loop before the reader writes it.
        await asyncio.sleep(0)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._writer.close()
        noted, _ = await self._process.communicate()
        if error is None:
            for each in ended:
                if isinstance(each, Exception):
                    raise each
        with np.load(io.BytesIO(noted)) as arrays:
            self.heard = Heard(arrays["due"], arrays["sent"], arrays["received"], float(arrays["cpu_s"]))

    async def _send(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                message = await reader.readexactly(MESSAGE_BYTES)
                who, _ = HEADER.unpack_from(message)
                await self._conversations[who].send(np.frombuffer(message, np.float32, offset=HEADER.size))
        except asyncio.IncompleteReadError:
            return

    async def _answer(self, who: int) -> None:
        async with self._conversations[who].subscribe(AudioFrame) as output:
            async for frame in output:
                self._writer.write(HEADER.pack(who, frame.frame) + frame.pcm.tobytes())
