"""The stack that the benchmarks of real time run: every default of Coda, on one checkpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from coda_core import Conversation, Kernel, Stack
from coda_moshi.config import MoshiConfig

__all__ = ["opened", "serving_stack"]


@asynccontextmanager
async def serving_stack(checkpoint: str, slots: int) -> AsyncIterator[Kernel]:
    """Run a kernel with that many slots, in real time. `checkpoint` is a `model_path`."""
    async with Kernel(Stack(processor=MoshiConfig(model_path=checkpoint, conversations=slots))) as kernel:
        yield kernel


@asynccontextmanager
async def opened(kernel: Kernel, count: int) -> AsyncIterator[list[Conversation]]:
    """Open `count` conversations; raises `Full` where there is no room for them."""
    async with AsyncExitStack() as exits:
        yield [await exits.enter_async_context(kernel.open_conversation()) for _ in range(count)]
