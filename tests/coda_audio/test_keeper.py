from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from coda_audio.keeper import Keeper
from coda_core.errors import AudioError
from coda_core.testing import ManualClock

Wait = Callable[[Callable[[], object]], Awaitable[None]]


@asynccontextmanager
async def kept(socket: Any, clock: ManualClock, told: list[float] | None = None) -> AsyncIterator[Keeper]:
    keeper = Keeper(
        lambda: socket.open(lambda pcm: None),
        what="microphone",
        clock=clock,
        logger=logging.getLogger("coda.test"),
        changed=lambda: None,
        tell=lambda: told.append(clock.now()) if told is not None else None,
    )
    task = asyncio.create_task(keeper.run())
    try:
        yield keeper
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_holds_the_device_and_closes_it(socket: Any, clock: ManualClock, until: Wait) -> None:
    async with kept(socket, clock) as keeper:
        assert (keeper.stream, keeper.lost) == (None, False)
        await until(lambda: keeper.stream)
        assert socket.opened == [keeper.stream]
    assert socket.device.closed
    assert keeper.stream is None


async def test_a_device_that_is_not_there_at_first_is_an_error(socket: Any, clock: ManualClock) -> None:
    socket.there = False
    keeper = Keeper(
        lambda: socket.open(lambda pcm: None),
        what="microphone",
        clock=clock,
        logger=logging.getLogger("coda.test"),
        changed=lambda: None,
        tell=lambda: None,
    )
    with pytest.raises(AudioError, match="cannot be opened"):
        await keeper.run()


async def test_unplugged_and_back(
    socket: Any, clock: ManualClock, until: Wait, moving: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    async with kept(socket, clock) as keeper:
        await until(lambda: keeper.stream)
        first = socket.device
        first.pulse.xruns = 3
        socket.pull_out()
        await moving(lambda: keeper.lost)
        await until(lambda: first.closed)
        began = clock.now()
        await moving(lambda: socket.tries == 4)
        assert 2.9 < clock.now() - began < 4.5, "tried about every second"
        assert caplog.messages == [
            "the microphone Headset has gone: silence takes its place, and it is tried again every second"
        ]
        socket.there = True
        await moving(lambda: keeper.stream)
        assert caplog.messages[1:] == ["the microphone Headset is back"]
        socket.device.pulse.xruns = 2
        assert (keeper.losses, keeper.lost, keeper.xruns) == (1, False, 5)
    assert socket.device.closed


async def test_a_device_that_says_nothing_more_is_gone(
    socket: Any, clock: ManualClock, until: Wait, moving: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    async with kept(socket, clock) as keeper:
        await until(lambda: keeper.stream)
        for _ in range(500):
            socket.device.turn(np.zeros((480, 1), np.float32))
            clock.advance(0.01)
            await asyncio.sleep(0)
        assert not keeper.lost
        stalled = clock.now()
        await moving(lambda: keeper.losses)
        assert 0.7 < clock.now() - stalled < 1.6
        assert "does not answer" in caplog.text


async def test_a_device_may_take_its_time_to_begin(socket: Any, clock: ManualClock, until: Wait, moving: Wait) -> None:
    async with kept(socket, clock) as keeper:
        await until(lambda: keeper.stream)
        began = clock.now()
        await moving(lambda: keeper.losses)
        assert clock.now() - began > 4.5


async def test_tells_about_once_a_second_with_the_device_and_without(
    socket: Any, clock: ManualClock, until: Wait, moving: Wait
) -> None:
    told: list[float] = []
    async with kept(socket, clock, told) as keeper:
        await until(lambda: keeper.stream)
        socket.pull_out()
        began = clock.now()
        await moving(lambda: clock.now() >= began + 10)
    assert 6 <= len(told) <= 10
    assert min(np.diff(told)) >= 1
