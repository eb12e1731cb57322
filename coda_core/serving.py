"""Runs a kernel's transports and feeds its local conversation."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from coda_core.build import explained
from coda_core.clock import Clock
from coda_core.config import Chosen
from coda_core.errors import CodaError, ConversationParked
from coda_core.events import Unparked
from coda_core.interfaces import AudioSource, Transport
from coda_core.owner import OWNER

if TYPE_CHECKING:
    from coda_core.audio import Block
    from coda_core.conversation import Conversation
    from coda_core.kernel import Kernel

__all__ = ["serve"]

_logger = logging.getLogger("coda.kernel")
_PATIENCE_S = 10.0
"""How long transports may take to be ready before somebody is told."""


async def serve(
    kernel: Kernel, *, source: AudioSource | None, transports: Sequence[Transport], clock: Clock, realtime: bool
) -> None:
    """Run until the source has no more and every transport has finished, or until cancelled.

    The first failure stops the others and is raised, not in a group: a `CodaError` as it is, of anything else that a
    transport or the source raises a `PluginError` that names it.
    """
    attached = [asyncio.Event() for _ in transports]
    try:
        async with asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(kernel.until_lost())
            running = [
                tasks.create_task(_carry(kernel, transport, chosen, ready))
                for transport, chosen, ready in zip(transports, kernel.stack.transports, attached, strict=True)
            ]
            feeding = None
            if source is not None:
                paced = realtime and not source.live
                feeding = tasks.create_task(_feed(kernel, source, attached, clock if paced else None))
                running.append(feeding)
            try:
                if running:
                    await asyncio.wait(running)
            except asyncio.CancelledError:
                if feeding is not None:
                    await _break_off(kernel, feeding)
                raise
            watch.cancel()
    except BaseExceptionGroup as group:
        error = _first(group)
        raise error from error.__cause__


async def _carry(kernel: Kernel, transport: Transport, chosen: Chosen, ready: asyncio.Event) -> None:
    OWNER.set(f'the transport "{chosen.label}"')
    try:
        with explained(chosen, "failed"), _in_no_group():
            await transport.run(kernel, ready.set)
    finally:
        ready.set()


async def _blocks(kernel: Kernel, source: AudioSource) -> AsyncGenerator[Block, None]:
    chosen = kernel.stack.audio_source
    assert chosen is not None
    with explained(chosen, "failed"), _in_no_group():
        async with aclosing(source.blocks()) as blocks:
            async for block in blocks:
                yield block


@contextmanager
def _in_no_group() -> Iterator[None]:
    """Of what a component's own task group raises, raise what a person should be told of."""
    try:
        yield
    except ExceptionGroup as group:
        error = _first(group)
        raise error from error.__cause__


async def _feed(kernel: Kernel, source: AudioSource, attached: Sequence[asyncio.Event], pace: Clock | None) -> None:
    conversation = await kernel.local()
    everybody = asyncio.gather(*(ready.wait() for ready in attached))
    done, _ = await asyncio.wait([everybody], timeout=_PATIENCE_S)
    if not done:
        late = [number for number, ready in enumerate(attached) if not ready.is_set()]
        _logger.warning("the source waits for transport %s, which has not called ready() yet", late)
    await everybody
    async with aclosing(_blocks(kernel, source)) as blocks:
        due = pace.now() if pace is not None else 0.0
        async for block in blocks:
            if pace is not None:
                due += _samples(block) / block.format.sample_rate_hz
                await pace.sleep_until(due)
            if source.live:
                with suppress(ConversationParked):  # what was said to nobody is not said again
                    await conversation.send_block(block)
            else:
                await _when_here(conversation, partial(conversation.send_block, block))
    await _when_here(conversation, conversation.drain)
    await conversation.close()


async def _when_here(conversation: Conversation, work: Callable[[], Awaitable[None]]) -> None:
    """Do `work` that needs a slot; while the conversation is parked, wait until it has one again."""
    while True:
        try:
            await work()
            return
        except ConversationParked:
            async with conversation.subscribe(Unparked) as back:
                await conversation.settled()
                if conversation.status == "parked":
                    await anext(back, None)


async def _break_off(kernel: Kernel, feeding: asyncio.Task[None]) -> None:
    """End the local conversation while its transports still run, so that they get its last frame."""
    feeding.cancel()
    await asyncio.wait([feeding])
    with suppress(CodaError):
        await (await kernel.local()).close("shutdown")


def _samples(block: Block) -> int:
    if isinstance(block.pcm, (bytes, bytearray, memoryview)):
        width = 4 if block.format.sample_type == "float32" else 2
        return len(block.pcm) // (width * block.format.channels)
    return block.pcm.shape[0]


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return what a person should be told of: a `CodaError` if there is one, else the first that there is."""
    leaves: list[BaseException] = []

    def collect(error: BaseException) -> None:
        if isinstance(error, BaseExceptionGroup):
            for each in error.exceptions:
                collect(each)
        else:
            leaves.append(error)

    collect(group)
    return next((leaf for leaf in leaves if isinstance(leaf, CodaError)), leaves[0])
