from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from coda_audio.config import SpeakerConfig
from coda_audio.room import Room
from coda_audio.speaker import Speaker
from coda_core.audio import AudioFrame
from coda_core.errors import AudioError, ConversationBroken
from coda_core.events import Event, Interrupted, Paused
from coda_core.interfaces import Context
from coda_core.sound import DeviceMeasured
from coda_core.subscription import Overflow, Subscription
from coda_core.testing import ManualClock

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from coda_core.kernel import Kernel

Wait = Callable[[Callable[[], object]], Awaitable[None]]

FRAME = 1_920
BLOCK = 480


class Info:
    sample_rate_hz = 24_000


class Local:
    """A kernel whose local conversation says what a test tells it to."""

    info = Info()

    def __init__(self) -> None:
        self.subscription: Subscription[Any] | None = None
        self.next = 0

    async def local(self) -> Local:
        return self

    def subscribe(self, *kinds: type, size: int, overflow: Overflow) -> Subscription[Any]:
        self.subscription = Subscription(kinds, size=size, overflow=overflow)
        return self.subscription

    def say(self, value: float) -> None:
        pcm = np.full(FRAME, value, np.float32)
        self.put(AudioFrame(conversation="c", frame=self.next, pcm=pcm, heard=pcm))
        self.next += 1

    def put(self, item: AudioFrame | Event) -> None:
        assert self.subscription is not None
        self.subscription.put(item)


@asynccontextmanager
async def speaking(
    socket: Any, context: Context, room: Room | None = None
) -> AsyncIterator[tuple[Local, asyncio.Task[None]]]:
    kernel = Local()
    ready = asyncio.Event()
    speaker = Speaker(socket.open, SpeakerConfig(), context, room or Room())
    running = asyncio.create_task(speaker.run(cast("Kernel", kernel), ready.set))
    await ready.wait()
    yield kernel, running
    if not running.done():
        running.cancel()
    await asyncio.wait([running])


def played(socket: Any, blocks: int) -> NDArray[np.float32]:
    """Let the device take so many blocks of 10 ms, and return them, both channels."""
    return np.concatenate([socket.device.turn(np.full((BLOCK, 2), np.nan, np.float32)) for _ in range(blocks)])


async def turn() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_plays_on_all_channels_at_the_rate_of_the_device(socket: Any, context: Context) -> None:
    async with speaking(socket, context) as (kernel, _):
        for _ in range(3):
            kernel.say(0.5)
        await turn()
        heard = played(socket, 60)
    assert np.array_equal(heard[:, 0], heard[:, 1])
    level = np.abs(heard[:, 0] - 0.5) < 0.02
    # Three frames of 80 ms at 48 kHz, but for what the resampler still holds.
    assert 0.2 * 48_000 < level.sum() <= 3 * 2 * FRAME
    assert socket.device.closed


async def test_an_interruption_throws_away_what_waits(socket: Any, context: Context) -> None:
    async with speaking(socket, context) as (kernel, _):
        for _ in range(3):
            kernel.say(0.5)
        await turn()
        assert played(socket, 15).any()
        kernel.put(Interrupted(conversation="c"))
        await turn()
        played(socket, 1)
        assert not played(socket, 30).any()


async def test_a_pause_is_no_underrun(socket: Any, context: Context, reported: list[Event]) -> None:
    async with speaking(socket, context) as (kernel, _):
        for pause in (True, False):
            kernel.say(0.5)
            await turn()
            if pause:
                kernel.put(Paused(conversation="c"))
            await turn()
            played(socket, 50)
        kernel.say(0.5)
        await turn()
    last = reported[-1]
    assert isinstance(last, DeviceMeasured)
    assert (last.direction, last.device, last.connected, last.underruns) == ("output", "Headset", True, 1)
    assert last.latency_s > 0.010


async def test_ends_with_the_conversation_when_everything_was_heard(
    socket: Any, context: Context, clock: ManualClock, moving: Wait
) -> None:
    async with speaking(socket, context) as (kernel, running):
        kernel.say(0.5)
        assert kernel.subscription is not None
        kernel.subscription.end()
        await turn()
        assert not running.done()
        began = clock.now()
        await moving(running.done)
        assert 0.05 < clock.now() - began < 0.3
        assert running.exception() is None
    assert socket.device.closed


async def test_a_conversation_that_breaks_ends_it_with_its_error(socket: Any, context: Context) -> None:
    async with speaking(socket, context) as (kernel, running):
        assert kernel.subscription is not None
        kernel.subscription.end(ConversationBroken("the model failed"))
        with pytest.raises(ConversationBroken):
            await running
    assert socket.device.closed


async def test_a_device_that_cannot_be_opened_is_an_error(socket: Any, context: Context) -> None:
    socket.there = False
    async with speaking(socket, context) as (_, running):
        with pytest.raises(AudioError, match="cannot be opened"):
            await running


async def test_goes_on_with_a_device_that_is_back(
    socket: Any, context: Context, reported: list[Event], moving: Wait
) -> None:
    async with speaking(socket, context) as (kernel, _):
        kernel.say(0.5)
        socket.pull_out()
        await moving(lambda: socket.tries > 1)
        for _ in range(200):
            kernel.say(0.25)
        await turn()
        socket.there = True
        await moving(lambda: len(socket.opened) == 2)
        await moving(lambda: any(isinstance(each, DeviceMeasured) and each.losses for each in reported[-1:]))
        await moving(lambda: getattr(reported[-1], "connected", False))
        for _ in range(3):
            kernel.say(0.75)
        await turn()
        heard = played(socket, 20)[:, 0]
        assert np.abs(heard[-480:] - 0.75).max() < 0.01
    last = reported[-1]
    assert isinstance(last, DeviceMeasured)
    assert (last.losses, last.dropped_s, last.underruns) == (1, 0.0, 0)


async def test_says_in_the_room_until_when_it_sounds(socket: Any, context: Context, clock: ManualClock) -> None:
    room = Room()
    async with speaking(socket, context, room) as (kernel, _):
        kernel.say(0.001)
        await turn()
        played(socket, 20)
        assert not room.was_sounding(0.0, 0.0)
        kernel.say(0.5)
        await turn()
        played(socket, 20)
        assert room.was_sounding(clock.now() + 0.015, 0.0)
        assert not room.was_sounding(clock.now() + 0.025, 0.0)
