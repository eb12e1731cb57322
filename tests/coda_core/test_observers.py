"""Readers of a kernel's events that misbehave: named, counted, and at last disconnected, while audio goes on."""

from __future__ import annotations

import asyncio
import logging
import threading

import numpy as np
import pytest

from coda_core.audio import FRAME_SAMPLES, AudioFrame
from coda_core.config import Stack
from coda_core.events import Event, Gap, Paused, Quarantined
from coda_core.kernel import Kernel
from coda_core.plugins import load_plugins
from coda_core.subscription import EVENT_LIMIT, Subscription, SubscriptionOverflow
from coda_core.testing import plugin
from coda_core.watching import LoopWatch, Stall
from coda_state.config import MemoryStoreConfig
from coda_streaming.config import OfflineConfig
from tests.coda_core.conftest import Kit


def kernel_of(kit: Kit, observer: object, **settings: float) -> Kernel:
    modules = [("diary", kit.module_with("diary", {"coda_started": observer})), ("testing", plugin)]  # type: ignore[dict-item]
    stack = Stack(
        processor=plugin.ScriptedConfig(),
        streaming_manager=OfflineConfig(),
        state_store=MemoryStoreConfig(),
        **settings,  # type: ignore[arg-type]
    )
    return Kernel(stack, registry=load_plugins(modules=modules))


async def test_what_keeps_the_loop_is_named() -> None:
    noticed: list[Stall] = []
    async with LoopWatch(0.01, noticed.append):
        while not noticed:
            threading.Event().wait(0.15)  # longer than the budget by what lies between two looks
            await asyncio.sleep(0)
    assert noticed[0].place.startswith(f"{__file__}:")
    assert noticed[0].place.endswith("(test_what_keeps_the_loop_is_named)")
    assert noticed[0].task is asyncio.current_task()
    assert noticed[0].seconds >= 0.01


async def test_a_reader_that_keeps_the_loop_again_and_again_is_disconnected(
    kit: Kit, caplog: pytest.LogCaptureFixture
) -> None:
    tasks: list[asyncio.Task[None]] = []

    def observer(kernel: Kernel) -> None:
        async def write() -> None:
            async for _ in kernel.subscribe(Paused):
                threading.Event().wait(0.15)

        tasks.append(asyncio.create_task(write()))

    async with kernel_of(kit, observer, observer_budget_ms=10, observer_strikes=3) as kernel:
        told = kernel.subscribe(Quarantined)
        async with kernel.open_conversation() as conversation:
            frames = conversation.subscribe(AudioFrame)
            while not tasks[0].done():
                await conversation.send(np.zeros(FRAME_SAMPLES, np.float32))
                await conversation.drain()
                assert isinstance(await anext(frames), AudioFrame)
                await conversation.pause()
                await conversation.resume()
        event = await anext(told)
        assert (event.who, event.reason) == ('plugin "diary" of (in process)', "blocking")
        assert kernel.stalls()[event.who].count >= 3
    with pytest.raises(SubscriptionOverflow, match="kept the event loop to itself 3 times within a minute"):
        await tasks[0]
    warned = [each.getMessage() for each in caplog.records if "stood still" in each.getMessage()]
    assert any('of plugin "diary"' in each for each in warned)


async def test_a_reader_that_reads_nothing_is_disconnected_and_the_others_are_told(
    kit: Kit, caplog: pytest.LogCaptureFixture
) -> None:
    lazy: list[Subscription[Event]] = []

    def observer(kernel: Kernel) -> None:
        lazy.append(kernel.subscribe(Gap))

    async with kernel_of(kit, observer) as kernel:
        told = kernel.subscribe(Quarantined)
        async with kernel.open_conversation() as conversation:
            for _ in range(EVENT_LIMIT + 1):
                conversation.publish(Gap())
            event = await anext(told)
        assert (event.who, event.reason) == ('plugin "diary" of (in process)', "unread")
        assert lazy[0].ended
    loud = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert loud == [f'a reader of plugin "diary" of (in process) left {EVENT_LIMIT} events unread and was disconnected']


async def test_a_hook_that_takes_long_is_named(
    kit: Kit, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coda_core.plugins.registry._OBSERVER_S", 0.0)
    async with kernel_of(kit, lambda kernel: None):
        pass
    assert any('coda_started of plugin "diary"' in record.getMessage() for record in caplog.records)
