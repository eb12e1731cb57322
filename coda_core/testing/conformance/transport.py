"""The suite of transports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from coda_core.audio import FRAME_SAMPLES
from coda_core.config import Stack
from coda_core.kernel import Kernel
from coda_core.plugins import load_plugins
from coda_core.testing import plugin
from coda_core.testing.conformance.component import Conformance

__all__ = ["TransportConformance"]


class TransportConformance(Conformance):
    """What every `coda_core.interfaces.Transport` does, on a kernel with a scripted processor.

    Whether what it carries arrives is for the transport's own tests, with its real peer.
    """

    def test_says_once_that_it_is_ready(self, tmp_path: Path) -> None:
        async def look() -> int:
            said, told = 0, asyncio.Event()

            def ready() -> None:
                nonlocal said
                said += 1
                told.set()

            async with self._kernel(tmp_path) as kernel, self.entered(tmp_path) as transport:
                running = asyncio.create_task(transport.run(kernel, ready))
                await asyncio.wait([running, asyncio.ensure_future(told.wait())], return_when=asyncio.FIRST_COMPLETED)
                running.cancel()
                await asyncio.wait([running])
                _raise_unless_cancelled(running)
            return said

        assert self.run(look()) == 1, "call ready() once, when listening or subscribed"

    def test_ends_with_the_local_conversation_or_when_cancelled(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self._kernel(tmp_path) as kernel, self.entered(tmp_path) as transport:
                ready = asyncio.Event()
                running = asyncio.create_task(transport.run(kernel, ready.set))
                await ready.wait()
                local = await kernel.local()
                for _ in range(20):
                    await local.send(np.full(FRAME_SAMPLES, 0.1, np.float32))
                await local.drain()
                await local.close()
                # A server goes on for others; whatever is attached to this conversation alone ends with it.
                await asyncio.wait([running], timeout=0.5)
                running.cancel()
                await asyncio.wait([running])
                _raise_unless_cancelled(running)

        self.run(look())

    def test_may_be_cancelled_at_every_await(self, tmp_path: Path) -> None:
        async def cancel_after(turns: int) -> None:
            async with self._kernel(tmp_path) as kernel, self.entered(tmp_path) as transport:
                running = asyncio.create_task(transport.run(kernel, lambda: None))
                for _ in range(turns):
                    await asyncio.sleep(0)
                running.cancel()
                await asyncio.wait([running])
                _raise_unless_cancelled(running)
                # The kernel is unharmed: a conversation opens and answers.
                async with kernel.open_conversation() as conversation:
                    await conversation.send(np.zeros(FRAME_SAMPLES, np.float32))
                    await conversation.drain()

        for turns in (0, 1, 2, 3, 5, 8, 13, 40):
            self.run(cancel_after(turns))

    def test_conversations_of_others_are_left_alone(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self._kernel(tmp_path) as kernel, kernel.open_conversation() as mine:
                async with self.entered(tmp_path) as transport:
                    running = asyncio.create_task(transport.run(kernel, lambda: None))
                    await asyncio.wait([running], timeout=0.2)
                    running.cancel()
                    await asyncio.wait([running])
                assert mine.status == "live"
                await mine.send(np.zeros(FRAME_SAMPLES, np.float32))
                await mine.drain()

        self.run(look())

    @asynccontextmanager
    async def _kernel(self, folder: Path) -> AsyncIterator[Kernel]:
        registry = load_plugins(modules=[("coda-testing", plugin)])
        stack = Stack(name="conformance", base_dir=folder, processor=plugin.ScriptedConfig())
        async with Kernel(stack, registry=registry, cache_dir=folder / "cache") as kernel:
            yield kernel


def _raise_unless_cancelled(running: asyncio.Task[None]) -> None:
    if not running.cancelled():
        running.result()
