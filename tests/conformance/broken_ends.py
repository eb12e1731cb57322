"""Audio sources and transports that are broken, each in one way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import numpy as np

from coda_core.audio import AudioFormat, Block
from coda_core.events import Event
from coda_core.kernel import Kernel

__all__ = ["BROKEN_SOURCES", "BROKEN_TRANSPORTS", "Beeper", "Listener"]


class Beeper:
    """An audio source that is not broken."""

    format: Any = AudioFormat()
    live = False

    async def blocks(self) -> AsyncGenerator[Block, None]:
        for at in range(30):
            yield Block(np.full(800, at / 100, np.float32), self.format)
            await asyncio.sleep(0)


class KnowsItsFormatLater(Beeper):
    format = None


class ChangesItsFormat(Beeper):
    async def blocks(self) -> AsyncGenerator[Block, None]:
        yield Block(np.zeros(800, np.float32), AudioFormat(16_000))


class UsesItsBufferAgain(Beeper):
    async def blocks(self) -> AsyncGenerator[Block, None]:
        buffer = np.zeros(800, np.float32)
        for at in range(30):
            buffer[:] = at / 100
            yield Block(buffer, self.format)
            await asyncio.sleep(0)


class CannotBeLeft(Beeper):
    async def blocks(self) -> AsyncGenerator[Block, None]:
        try:
            async for block in super().blocks():
                yield block
        except GeneratorExit:
            raise RuntimeError("somebody left") from None


class FailsWhereCancelled(Beeper):
    async def blocks(self) -> AsyncGenerator[Block, None]:
        for _ in range(30):
            yield Block(np.zeros(800, np.float32), self.format)
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                raise RuntimeError("somebody cancelled") from None


class KeepsTheLoop(Beeper):
    async def blocks(self) -> AsyncGenerator[Block, None]:
        for _ in range(30):
            yield Block(np.zeros(800, np.float32), self.format)


class IsLiveAndFast(Beeper):
    live = True

    async def blocks(self) -> AsyncGenerator[Block, None]:
        for _ in range(90):
            yield Block(np.zeros(2_400, np.float32), self.format)
            await asyncio.sleep(0)


class Listener:
    """A transport that is not broken."""

    async def run(self, kernel: Kernel, ready: Callable[[], None]) -> None:
        conversation = await kernel.local()
        async with conversation.subscribe(Event) as events:
            ready()
            async for _ in events:
                pass


class IsReadyTwice(Listener):
    async def run(self, kernel: Kernel, ready: Callable[[], None]) -> None:
        def twice() -> None:
            ready()
            ready()

        await super().run(kernel, twice)


class FailsAtTheEnd(Listener):
    async def run(self, kernel: Kernel, ready: Callable[[], None]) -> None:
        await super().run(kernel, ready)
        raise RuntimeError("it is over")


class FallsOverWhereCancelled(Listener):
    async def run(self, kernel: Kernel, ready: Callable[[], None]) -> None:
        try:
            await super().run(kernel, ready)
        except asyncio.CancelledError:
            raise RuntimeError("somebody cancelled") from None


class ClosesEverybody(Listener):
    async def run(self, kernel: Kernel, ready: Callable[[], None]) -> None:
        for conversation in kernel.conversations.values():
            await conversation.close()
        await super().run(kernel, ready)


BROKEN_SOURCES: dict[str, type] = {
    "test_format_is_known_before_anything_is_read": KnowsItsFormatLater,
    "test_blocks_are_audio_of_that_format": ChangesItsFormat,
    "test_each_block_is_its_own": UsesItsBufferAgain,
    "test_may_be_left_at_any_block": CannotBeLeft,
    "test_may_be_cancelled_at_every_await": FailsWhereCancelled,
    "test_leaves_the_event_loop_free": KeepsTheLoop,
    "test_live_source_keeps_real_time": IsLiveAndFast,
}
"""By the check that finds it out; so are those below."""

BROKEN_TRANSPORTS: dict[str, type] = {
    "test_says_once_that_it_is_ready": IsReadyTwice,
    "test_ends_with_the_local_conversation_or_when_cancelled": FailsAtTheEnd,
    "test_may_be_cancelled_at_every_await": FallsOverWhereCancelled,
    "test_conversations_of_others_are_left_alone": ClosesEverybody,
}
