"""Opus off the event loop and out of the model's way: processes that code, shared by all connections."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from coda_core.errors import CodaError
from coda_websocket.opus_process import ANSWER, DECODE, ENCODE, FORGET, REQUEST

__all__ = ["BadOpus", "OpusPool", "OpusStream"]

_SCRIPT: Final = Path(__file__).with_name("opus_process.py")
_LEAVING_S: Final = 5.0
"""What a process gets to end by itself."""
_logger = logging.getLogger("coda.websocket.opus")

Direction = Literal["encode", "decode"]


class BadOpus(ValueError):
    """What a peer sent is no Ogg stream of Opus; the text fits into a close frame."""


class OpusPool:
    """Processes that code Opus. An async context manager: they start on entering and end on leaving.

    Where one dies, its streams fail with `CodaError` and the next stream gets a new process.
    """

    def __init__(
        self, processes: int | None = None, *, timed: Callable[[Direction, float], None] = lambda _what, _s: None
    ) -> None:
        """`timed` is told how many seconds each call took."""
        count = processes if processes is not None else min(8, max(1, (os.cpu_count() or 1) // 2))
        self._workers: list[_Worker | None] = [None] * count
        self._streams = itertools.count()
        self._timed = timed

    async def __aenter__(self) -> Self:
        try:
            for place in range(len(self._workers)):
                self._workers[place] = await _Worker.start()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.gather(*(worker.stop() for worker in self._workers if worker is not None))

    async def stream(self) -> OpusStream:
        """Return a stream of each direction, on the process that has the fewest."""
        place, worker = min(enumerate(self._workers), key=lambda each: each[1].streams if each[1] is not None else 0)
        if worker is None or worker.dead:
            worker = self._workers[place] = await _Worker.start()
        return OpusStream(worker, next(self._streams), self._timed)


class OpusStream:
    """One connection's voice out and in. One call of each direction at a time."""

    def __init__(self, worker: _Worker, number: int, timed: Callable[[Direction, float], None]) -> None:
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


class _Worker:
    """One process and the answers that it owes."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.streams = 0
        self.dead = False
        self._process = process
        self._reader = reader
        self._writer = writer
        self._owed: deque[asyncio.Future[bytes]] = deque()
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls) -> _Worker:
        """Start a process; where this is cancelled, none is left behind."""
        starting = asyncio.ensure_future(cls._start())
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.wait([starting])
            if starting.exception() is None:
                await starting.result().stop()
            raise

    @classmethod
    async def _start(cls) -> _Worker:
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", str(_SCRIPT), str(theirs.fileno())),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        return cls(process, reader, writer)

    async def ask(self, stream: int, what: int, payload: bytes) -> bytes:
        future = self._put(stream, what, payload)
        await self._writer.drain()
        return await future

    def forget(self, stream: int) -> None:
        if not self.dead:
            with suppress(CodaError):
                self._put(stream, FORGET, b"")

    def _put(self, stream: int, what: int, payload: bytes) -> asyncio.Future[bytes]:
        if self.dead:
            raise CodaError("the process that coded this connection's Opus has ended")
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._owed.append(future)
        self._writer.write(REQUEST.pack(len(payload), stream, what) + payload)
        return future

    async def _listen(self) -> None:
        try:
            while True:
                length, well = ANSWER.unpack(await self._reader.readexactly(ANSWER.size))
                payload = await self._reader.readexactly(length)
                future = self._owed.popleft()
                if future.cancelled():
                    continue
                if well:
                    future.set_result(payload)
                else:
                    future.set_exception(BadOpus(payload.decode("utf-8", "replace")))
        except (asyncio.IncompleteReadError, OSError):
            self._end()

    def _end(self) -> None:
        self.dead = True
        if self._owed or self.streams:
            _logger.error("a process that codes Opus has ended; %d connections end with it", self.streams)
        for future in self._owed:
            if not future.done():
                future.set_exception(CodaError("the process that coded this connection's Opus has ended"))
        self._owed.clear()

    async def stop(self) -> None:
        self._writer.close()
        try:
            await asyncio.wait_for(self._process.wait(), _LEAVING_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._listening.cancel()
        await asyncio.wait([self._listening])
