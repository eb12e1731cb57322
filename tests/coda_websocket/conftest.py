"""A server on a real socket, and plain callers of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import attrs
import numpy as np
import pytest
import sphn
import websockets
from numpy.typing import NDArray

from coda_core import Clock, Kernel, Stack
from coda_core.clock import SystemClock
from coda_moshi.config import EchoConfig
from coda_streaming.config import RealtimeConfig
from coda_websocket.application import Application, open_application
from coda_websocket.config import WebsocketConfig
from coda_websocket.server import serving

FRAME = 1_920


@attrs.frozen(eq=False)
class Served:
    """A server that runs."""

    url: str
    kernel: Kernel
    application: Application

    def ws(self, path: str) -> str:
        return self.url.replace("http", "ws", 1) + path


@asynccontextmanager
async def _serve(
    stack: Stack | None = None, *, clock: Clock | None = None, kernel_clock: Clock | None = None, **settings: Any
) -> AsyncIterator[Served]:
    config = WebsocketConfig(**{"port": 0, "opus_processes": 1, "max_audio_ahead_s": 10_000.0, **settings})
    chosen = stack or Stack(processor=EchoConfig(conversations=4), streaming_manager=RealtimeConfig())
    async with (
        Kernel(chosen, clock=kernel_clock) as kernel,
        open_application(kernel, config, clock=clock or SystemClock()) as application,
        serving(application, config) as (url, _),
    ):
        yield Served(url, kernel, application)


Serve = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture
def serve() -> Serve:
    """Runs a server; without a stack, of four conversations that echo."""
    return _serve


class Caller:
    """A plain client on the `websockets` library."""

    def __init__(self, socket: websockets.ClientConnection, codec: str) -> None:
        self.socket = socket
        self.codec = codec
        self.pcm: list[NDArray[np.float32]] = []
        self.text = ""
        self.errors: list[str] = []
        self.metadata: list[dict[str, Any]] = []
        self.handshakes: list[bytes] = []
        self._writer = sphn.OpusStreamWriter(24_000)
        self._reader = sphn.OpusStreamReader(24_000)

    @property
    def id(self) -> str:
        assert self.socket.response is not None
        return self.socket.response.headers["Coda-Conversation"]

    @property
    def resume_token(self) -> str:
        assert self.socket.response is not None
        return self.socket.response.headers["Coda-Resume-Token"]

    @property
    def heard(self) -> NDArray[np.float32]:
        """All audio so far."""
        return np.concatenate(self.pcm) if self.pcm else np.zeros(0, np.float32)

    async def send(self, pcm: NDArray[np.float32]) -> None:
        """Send PCM, a frame in a message."""
        for start in range(0, len(pcm), FRAME):
            frame = pcm[start : start + FRAME]
            data = (
                self._writer.append_pcm(frame)
                if self.codec == "opus"
                else np.rint(frame * 32768).astype("<i2").tobytes()
            )
            await self.socket.send(b"\1" + data)

    async def read(self) -> int:
        """Take one message; return its kind."""
        message = await self.socket.recv()
        assert isinstance(message, bytes)
        kind, payload = message[0], message[1:]
        if kind == 0:
            self.handshakes.append(message)
        elif kind == 1:
            self.pcm.append(
                self._reader.append_bytes(payload)
                if self.codec == "opus"
                else np.frombuffer(payload, "<i2").astype(np.float32) / np.float32(32768)
            )
        elif kind == 2:
            self.text += payload.decode()
        elif kind == 4:
            self.metadata.append(json.loads(payload))
        elif kind == 5:
            self.errors.append(payload.decode())
        return kind

    async def hear(self, frames: int) -> NDArray[np.float32]:
        """Read until so many frames of audio have come in all; return them."""
        while sum(map(len, self.pcm)) < frames * FRAME:
            await self.read()
        return self.heard

    async def until_closed(self) -> tuple[int, str]:
        """Read until the server closes; return its code and reason."""
        try:
            while True:
                await self.read()
        except websockets.ConnectionClosed:
            assert self.socket.close_code is not None
            return self.socket.close_code, self.socket.close_reason or ""


@asynccontextmanager
async def _calling(served: Served, query: str = "codec=pcm", **options: Any) -> AsyncIterator[Caller]:
    codec = "pcm" if "codec=pcm" in query else "opus"
    async with websockets.connect(served.ws(f"/api/chat?{query}"), **options) as socket:
        caller = Caller(socket, codec)
        if "auth=message" not in query:
            await caller.read()
            assert caller.handshakes
        yield caller


Calling = Callable[..., AbstractAsyncContextManager[Caller]]


@pytest.fixture
def calling() -> Calling:
    """Connects a caller and waits for the handshake."""
    return _calling


@pytest.fixture
def voice() -> Callable[[int, int], NDArray[np.float32]]:
    """Frames of noise that 16 bits hold exactly: ``[frames * 1920]``, different for each seed."""

    def made(seed: int, frames: int) -> NDArray[np.float32]:
        samples = np.random.default_rng(seed).integers(-9_000, 9_000, frames * FRAME)
        return (samples / 32768).astype(np.float32)

    return made


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Any]:
    """Lets the event loop run until something is true."""

    async def waited(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    return waited
