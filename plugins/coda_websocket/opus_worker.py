"""One process that codes Opus, seen from the server."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final, cast

from coda_core.errors import CodaError
from coda_websocket.busy import Busy
from coda_websocket.opus_process import ANSWER, FORGET, READY, REQUEST

__all__ = ["BadOpus", "OpusWorker"]

_PACKAGES: Final = Path(__file__).parents[1]
"""Where the process finds this package, however the server found it."""
_LEAVING_S: Final = 5.0
"""What a process gets to end by itself."""
_logger = logging.getLogger("coda.websocket.opus")


class BadOpus(ValueError):
    """What a peer sent is no Ogg stream of Opus; the text fits into a close frame."""


class OpusWorker(asyncio.Protocol):
    """One process and the answers that it owes."""

    def __init__(self) -> None:
        self.streams = 0
        self.dead = False
        """Whether the process has ended, or is to."""
        self.busy = Busy()
        self._process: asyncio.subprocess.Process
        self._transport: asyncio.Transport
        self._received = bytearray()
        self._owed: deque[asyncio.Future[bytes]] = deque()
        self._writable = asyncio.Event()
        self._writable.set()
        self._ready = asyncio.Event()
        self._lost = asyncio.Event()

    @classmethod
    async def start(cls) -> OpusWorker:
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
    async def _start(cls) -> OpusWorker:
        ours, theirs = socket.socketpair()
        path = os.pathsep.join(filter(None, (str(_PACKAGES), os.environ.get("PYTHONPATH"))))
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "coda_websocket.opus_process", str(theirs.fileno())),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
            )
        _, worker = await asyncio.get_running_loop().create_connection(cls, sock=ours)
        worker._process = process
        await worker._ready.wait()
        if worker.dead:
            raise CodaError(f"the process that codes Opus ended with exit status {await process.wait()} at its start")
        return worker

    async def ask(self, stream: int, what: int, payload: bytes) -> bytes:
        """Have the process do one request; raises `BadOpus` where it cannot, and `CodaError` where it has ended."""
        future = self._put(stream, what, payload)
        await self._writable.wait()
        return await future

    def forget(self, stream: int) -> None:
        """Have the process drop a stream."""
        if not self.dead:
            with suppress(CodaError):
                self._put(stream, FORGET, b"")

    def _put(self, stream: int, what: int, payload: bytes) -> asyncio.Future[bytes]:
        if self.dead:
            raise CodaError("the process that coded this connection's Opus has ended")
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._owed.append(future)
        self.busy.begins()
        self._transport.write(REQUEST.pack(len(payload), stream, what) + payload)
        return future

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        start = 0
        if not self._ready.is_set():
            self._ready.set()
            start = len(READY)
        while len(received) - start >= ANSWER.size:
            length, well = ANSWER.unpack_from(received, start)
            end = start + ANSWER.size + length
            if len(received) < end:
                break
            self._answered(well, bytes(received[start + ANSWER.size : end]))
            start = end
        del received[:start]
        if not self._owed:
            self.busy.ends()

    def _answered(self, well: bool, payload: bytes) -> None:
        future = self._owed.popleft()
        # Who asked may have gone since.
        if future.done():
            return
        if well:
            future.set_result(payload)
        else:
            future.set_exception(BadOpus(payload.decode("utf-8", "replace")))

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        stopped, self.dead = self.dead, True
        self._writable.set()
        self._ready.set()
        self._lost.set()
        self.busy.ends()
        if not stopped and self.streams:
            _logger.error("a process that codes Opus has ended; %d connections end with it", self.streams)
        for future in self._owed:
            if not future.done():
                future.set_exception(CodaError("the process that coded this connection's Opus has ended"))
        self._owed.clear()

    async def stop(self) -> None:
        """Have the process end, by force where it does not by itself."""
        self.dead = True
        self._transport.close()
        try:
            await asyncio.wait_for(self._process.wait(), _LEAVING_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._lost.wait()
