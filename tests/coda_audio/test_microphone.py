from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, cast

import numpy as np
import pytest

from coda_audio.config import MicrophoneConfig
from coda_audio.microphone import Microphone
from coda_audio.room import Room
from coda_core.audio import AudioFormat, Block
from coda_core.errors import AudioError
from coda_core.events import Event
from coda_core.interfaces import Context
from coda_core.sound import DeviceMeasured
from coda_core.testing import ManualClock

Wait = Callable[[Callable[[], object]], Awaitable[None]]

FORMAT = AudioFormat(48_000, 1)


def heard(block: Block) -> float:
    assert isinstance(block.pcm, np.ndarray)
    assert block.format == FORMAT
    return float(block.pcm[0, 0])


def microphone(socket: Any, context: Context, room: Room | None = None, **settings: Any) -> Microphone:
    return Microphone(socket.open, FORMAT, MicrophoneConfig(**settings), context, room or Room())


def block(value: float, samples: int = 960) -> Any:
    return np.full((samples, 1), value, np.float32)


async def following(blocks: AsyncGenerator[Block, None]) -> asyncio.Task[Block]:
    return asyncio.ensure_future(cast("Any", anext(blocks)))


async def test_feeds_what_the_device_hears_and_closes_it(socket: Any, context: Context, until: Wait) -> None:
    source = microphone(socket, context)
    assert source.live
    async with aclosing(source.blocks()) as blocks:
        first = await following(blocks)
        await until(lambda: socket.opened)
        for value in (0.1, 0.2, 0.3):
            socket.device.turn(block(value))
        assert heard(await first) == np.float32(0.1)
        assert heard(await anext(blocks)) == np.float32(0.2)
        assert heard(await anext(blocks)) == np.float32(0.3)
    assert socket.device.closed


async def test_a_device_that_cannot_be_opened_is_an_error(socket: Any, context: Context) -> None:
    socket.there = False
    async with aclosing(microphone(socket, context).blocks()) as blocks:
        with pytest.raises(AudioError, match="cannot be opened"):
            await anext(blocks)


async def test_silence_goes_on_while_the_device_is_gone(
    socket: Any, context: Context, clock: ManualClock, until: Wait, moving: Wait
) -> None:
    async with aclosing(microphone(socket, context).blocks()) as blocks:
        task = await following(blocks)
        await until(lambda: socket.opened)
        socket.device.turn(block(0.5))
        assert heard(await task) == 0.5
        socket.pull_out()
        began, silent = clock.now(), 0
        while silent < 100:
            task = await following(blocks)
            await moving(task.done)
            assert heard(task.result()) == 0
            silent += 1
        assert 2.0 <= clock.now() - began < 2.6, "a hundred times 20 ms, and what it took to notice"
        socket.there = True
        task, value = await following(blocks), 0.0
        while value == 0:
            if len(socket.opened) > 1:
                socket.device.turn(block(0.25))
            step = clock.now()
            await moving(lambda: clock.now() > step)  # noqa: B023
            if task.done():
                value = heard(task.result())
                task = await following(blocks)
        assert value == 0.25
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize("half_duplex", [False, True])
async def test_gate_for_loudspeakers(
    socket: Any, context: Context, clock: ManualClock, until: Wait, half_duplex: bool
) -> None:
    room = Room()
    source = microphone(socket, context, room, half_duplex=half_duplex, hangover_ms=300.0)
    async with aclosing(source.blocks()) as blocks:
        task = await following(blocks)
        await until(lambda: socket.opened)
        socket.device.turn(block(0.5))
        assert heard(await task) == 0.5
        room.sounds(clock.now() + 0.05)
        got = []
        for _ in range(30):
            clock.advance(0.02)
            socket.device.turn(block(0.5))
            got.append(heard(await anext(blocks)))
    # The block before the sound ends with it; the room echoes for 300 ms behind the 50 ms, and a block is as old as
    # the device's latency and itself.
    muted = 19 if half_duplex else 0
    assert got == [0.0] * muted + [0.5] * (30 - muted)


async def test_tells_how_the_device_is_doing(
    socket: Any, context: Context, reported: list[Event], until: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    async with aclosing(microphone(socket, context).blocks()) as blocks:
        task = await following(blocks)
        await until(lambda: socket.opened)
        socket.device.turn(block(0.5))
        await task
        socket.device.pulse.xruns = 2
    last = reported[-1]
    assert isinstance(last, DeviceMeasured)
    assert (last.direction, last.device, last.connected, last.xruns) == ("input", "Headset", True, 2)
    assert last.latency_s == 0.010
    (told,) = caplog.messages
    assert told.startswith("the microphone Headset so far: 2 xruns, 0 underruns, 0.00 s thrown away to catch up; ")
