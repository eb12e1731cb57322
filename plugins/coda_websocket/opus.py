"""Opus off the event loop and out of the model's way: processes that code, shared by all connections."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from coda_websocket.opus_process import DECODE, ENCODE
from coda_websocket.opus_worker import BadOpus, OpusWorker

__all__ = ["BadOpus", "OpusPool", "OpusStream"]

Direction = Literal["encode", "decode"]


class OpusPool:
    """Processes that code Opus. An async context manager: they start on entering and end on leaving.

    Where one dies, its streams fail with `CodaError` and the next stream gets a new process.
    """

    def __init__(
        self, processes: int | None = None, *, timed: Callable[[Direction, float], None] = lambda _what, _s: None
    ) -> None:
        """`timed` is told how many seconds each call took."""
        count = processes if processes is not None else min(8, max(1, (os.cpu_count() or 1) // 2))
        self._workers: list[OpusWorker | None] = [None] * count
        self._streams = itertools.count()
        self._timed = timed

    async def __aenter__(self) -> Self:
        try:
            for place in range(len(self._workers)):
                self._workers[place] = await OpusWorker.start()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.gather(*(worker.stop() for worker in self._workers if worker is not None))

    @property
    def load(self) -> float:
        """Share of the last seconds in which the least busy process owed answers: 0 to 1."""
        return min((worker.busy.share() if worker is not None else 0.0 for worker in self._workers), default=0.0)

    async def stream(self) -> OpusStream:
        """Return a stream of each direction, on the process that has the fewest."""
        place, worker = min(enumerate(self._workers), key=lambda each: each[1].streams if each[1] is not None else 0)
        if worker is None or worker.dead:
            worker = self._workers[place] = await OpusWorker.start()
        return OpusStream(worker, next(self._streams), self._timed)


class OpusStream:
    """One connection's voice out and in. One call of each direction at a time."""

    def __init__(self, worker: OpusWorker, number: int, timed: Callable[[Direction, float], None]) -> None:
        self._worker = worker
        self._number = number
        self._timed = timed
        self._closed = False
        worker.streams += 1

    async def encode(self, pcm: NDArray[np.float32]) -> bytes:
        """Return the Ogg bytes of mono PCM at 24 kHz, ``[samples]``, a whole number of 20 ms; none are held back."""
        began = time.perf_counter()
        coded = await self._worker.ask(self._number, ENCODE, pcm.astype("<f4", copy=False).tobytes())
        self._timed("encode", time.perf_counter() - began)
        return coded

    async def decode(self, data: bytes) -> NDArray[np.float32]:
        """Return the mono PCM at 24 kHz, ``[samples]``, that `data` completes. Raises `BadOpus`."""
        began = time.perf_counter()
        pcm = np.frombuffer(await self._worker.ask(self._number, DECODE, data), "<f4")
        self._timed("decode", time.perf_counter() - began)
        return pcm

    def close(self) -> None:
        """Give the stream back. Safe to call again."""
        if not self._closed:
            self._closed = True
            self._worker.streams -= 1
            self._worker.forget(self._number)
