"""What the tests share: a server that runs, a client that sends what it likes, and what is said and heard.

Under a name that no other suite has, so that the suites of several distributions can be run in one environment.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Final

import attrs
import numpy as np
import websockets
from coda_core import Kernel, Listening, Stack, load_plugins
from coda_core.testing import plugin
from numpy.typing import NDArray
from openai import AsyncOpenAI

from coda_openai_realtime.config import OpenaiRealtimeConfig

FRAME: Final = 1_920
PATIENCE_S: Final = 60


@attrs.frozen(eq=False)
class Served:
    """A server that runs."""

    url: str
    kernel: Kernel

    def client(self, key: str = "any") -> AsyncOpenAI:
        """Return OpenAI's own client."""
        return AsyncOpenAI(api_key=key, base_url=self.url.replace("ws", "http", 1), websocket_base_url=self.url)


@asynccontextmanager
async def serving(processor: Any = None, **settings: Any) -> AsyncIterator[Served]:
    """Run a server; without a processor, of four conversations by a script."""
    registry = load_plugins(modules=[("coda-testing", plugin)])
    chosen = processor if processor is not None else plugin.ScriptedConfig(script=(3,))
    fast = {"port": 0, "response_end_s": 0.4, "say_deadline_s": 0.0}
    realtime = registry.get("streaming_manager", "realtime").component.config
    stack = Stack(
        processor=chosen,
        streaming_manager=realtime(),
        monologue_extractor=[registry.get("monologue_extractor", "inner-monologue").component.config()],
        transport=[OpenaiRealtimeConfig(**{**fast, **settings})],
    )
    async with Kernel(stack, registry=registry) as kernel:
        listening = kernel.subscribe(Listening)
        serving = asyncio.create_task(kernel.serve())
        try:
            async with asyncio.timeout(PATIENCE_S):
                first = asyncio.ensure_future(anext(listening))
                await asyncio.wait((first, serving), return_when=asyncio.FIRST_COMPLETED)
                if serving.done():
                    first.cancel()
                    serving.result()
                found = await first
            yield Served(found.url, kernel)
        finally:
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving


Serve = Callable[..., AbstractAsyncContextManager[Served]]


class Raw:
    """A client that sends what it likes."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket
        self.seen: list[dict[str, Any]] = []

    async def send(self, **event: Any) -> None:
        await self.socket.send(json.dumps(event))

    async def next(self, *types: str) -> dict[str, Any]:
        """Return the next event of one of the types, or of any."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                event: dict[str, Any] = json.loads(await self.socket.recv())
                self.seen.append(event)
                if not types or event["type"] in types:
                    return event

    async def until_closed(self) -> int:
        """Read until the server closes; return its code."""
        with suppress(websockets.ConnectionClosed):
            while True:
                await self.next()
        assert self.socket.close_code is not None
        return self.socket.close_code


@asynccontextmanager
async def connected(url: str, query: str = "", **options: Any) -> AsyncIterator[Raw]:
    """Connect a client that sends what it likes."""
    async with websockets.connect(f"{url}/realtime{query}", **options) as socket:
        yield Raw(socket)


Connect = Callable[..., AbstractAsyncContextManager[Raw]]


def noise(frames: int, seed: int = 0) -> NDArray[np.int16]:
    """Return so many frames of what counts as speech, different for each seed."""
    return np.random.default_rng(seed).integers(-9_000, 9_000, frames * FRAME).astype(np.int16)


def spoken(frames: int, seed: int = 0) -> str:
    """Return `noise` as a client sends it."""
    return base64.b64encode(noise(frames, seed).tobytes()).decode()


def silence(frames: int) -> str:
    return base64.b64encode(bytes(2 * frames * FRAME)).decode()


def heard(events: Sequence[Any]) -> NDArray[np.int16]:
    """Return the audio of the events of OpenAI's client."""
    deltas = [base64.b64decode(each.delta) for each in events if each.type == "response.output_audio.delta"]
    return np.frombuffer(b"".join(deltas), "<i2")


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop run until something is true."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
