"""Several kernels on one store: here two of one process, on one SQLite database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from pathlib import Path

import numpy as np
import pytest

from coda_core.clock import Clock
from coda_core.config import Stack
from coda_core.conversation import Conversation
from coda_core.errors import ConversationBroken, ConversationTaken, NotResumable
from coda_core.events import Closed, Event, Fault, Opened
from coda_core.kernel import Kernel
from coda_core.plugins import load_plugins
from coda_core.testing import ManualClock, plugin
from coda_core.testing.plugin import ScriptedConfig
from coda_state.config import SqliteStoreConfig
from coda_state.sqlite import SqliteStore
from coda_streaming.config import OfflineConfig

FRAME = np.zeros(1_920, np.float32)
REGISTRY = load_plugins(modules=[("coda-testing", plugin)])


def kernel_of(folder: Path, clock: Clock | None = None) -> Kernel:
    stack = Stack(
        base_dir=folder,
        processor=ScriptedConfig(),
        streaming_manager=OfflineConfig(),
        state_store=SqliteStoreConfig(path=folder / "conversations.db"),
        keep_parked_hours=1.0,
    )
    return Kernel(stack, registry=REGISTRY, clock=clock, cache_dir=folder / "cache")


@pytest.fixture
async def kernels(tmp_path: Path) -> AsyncIterator[tuple[Kernel, Kernel]]:
    async with kernel_of(tmp_path) as one, kernel_of(tmp_path) as other:
        yield one, other


async def speak(conversation: Conversation) -> int:
    await conversation.send(FRAME)
    await conversation.drain()
    return conversation.frames


def numbers(kernel: Kernel, id: str) -> list[int]:
    return [event.sequence for event in kernel._parts.state_store.events(id)]


async def test_a_parked_conversation_comes_back_anywhere_and_a_live_one_does_not(
    kernels: tuple[Kernel, Kernel],
) -> None:
    one, other = kernels
    async with one.open_conversation() as here:
        id, token = here.id, here.resume_token
        await speak(here)
        with pytest.raises(NotResumable):
            await other.resume(id, token=token)
        await here.park()
        there = await other.resume(id, token=token)
        assert await speak(there) == 2
        with pytest.raises(ConversationTaken, match=f"another server goes on with conversation {id}"):
            await here.resume()
        with pytest.raises(NotResumable):
            await one.resume(id, token=token)
        await there.park()
        again = await one.resume(id, token=token)
        assert await speak(again) == 3
        await again.close()
    told = numbers(one, id)
    assert told == list(range(1, len(told) + 1))
    assert [type(event) for event in one._parts.state_store.events(id)].count(Closed) == 1


async def test_who_has_it_parked_no_longer_does_not_close_it(tmp_path: Path) -> None:
    clock = ManualClock()
    async with kernel_of(tmp_path, clock) as one, kernel_of(tmp_path) as other:
        async with one.open_conversation() as here:
            await speak(here)
            await here.park()
            there = await other.resume(here.id, token=here.resume_token)
            ended = asyncio.ensure_future(until_gone(one, here.id))
            clock.advance(3600.0)
            await ended
            assert here.id in other.conversations
            assert await speak(there) == 2
            await there.close()
        assert numbers(one, here.id) == list(range(1, len(numbers(one, here.id)) + 1))


async def until_gone(kernel: Kernel, id: str) -> None:
    while id in kernel.conversations:  # noqa: ASYNC110  # nobody is told of what a kernel only forgets
        await asyncio.sleep(0.01)


async def test_what_another_server_took_ends_here_and_all_else_goes_on(kernels: tuple[Kernel, Kernel]) -> None:
    one, _ = kernels
    async with AsyncExitStack() as exits:
        taken = await exits.enter_async_context(one.open_conversation())
        kept = await exits.enter_async_context(one.open_conversation())
        store = one._parts.state_store
        assert isinstance(store, SqliteStore)
        with closing(SqliteStore(store._session.path, 5.0, logging.getLogger("coda.test"))) as thief:
            thief.open()
            store.release(taken.id)
            assert thief.claim(taken.id)
            for _ in range(3):
                if taken.status == "live":
                    await speak(taken)
            await until_gone(one, taken.id)
            with pytest.raises(ConversationBroken, match="another server goes on with"):
                await taken.send(FRAME)
            assert await speak(kept) == 1
            await kept.close()
            assert isinstance(list(thief.events(kept.id))[-1], Closed)


async def test_what_a_killed_process_left_is_found_while_others_run(tmp_path: Path) -> None:
    clock = ManualClock()
    async with kernel_of(tmp_path, clock) as kernel, kernel.open_conversation() as mine:
        events = kernel.subscribe(Closed)
        with closing(SqliteStore(tmp_path / "conversations.db", 5.0, logging.getLogger("coda.test"))) as left:
            left.open()
            told: list[Event] = [Opened(conversation="left", sequence=1), Fault(conversation="left", sequence=2)]
            left.append(told)
        await speak(mine)
        clock.advance(5.0)
        closed = await anext(events)
        assert (closed.conversation, closed.sequence, closed.reason) == ("left", 3, "interrupted")
        assert mine.status == "live"
