"""What the tests of `coda_audio` share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import numpy as np
import pytest

from coda_audio.device_stream import Pulse
from coda_core.errors import AudioError
from coda_core.events import Event
from coda_core.interfaces import Context
from coda_core.testing import ManualClock
from tests.coda_audio.sound_server import SoundServer

if TYPE_CHECKING:
    from numpy.typing import NDArray


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def reported() -> list[Event]:
    """What components told observers."""
    return []


@pytest.fixture
def context(tmp_path: Path, clock: ManualClock, reported: list[Event]) -> Context:
    return Context(
        base_dir=tmp_path,
        cache_dir=tmp_path / "cache",
        clock=clock,
        logger=logging.getLogger("coda.test"),
        progress=lambda what, done, total: None,
        report=reported.append,
    )


@attrs.define(eq=False)
class PluggedIn:
    """A sound device that is open, as `coda_audio.device_stream.DeviceStream` has it."""

    exchange: Callable[[NDArray[np.float32]], None]
    device: str = "Headset"
    sample_rate_hz: int = 48_000
    latency_s: float = 0.010
    pulse: Pulse = attrs.field(factory=Pulse)
    closed: bool = False

    def close(self) -> None:
        self.closed = True

    def turn(self, pcm: NDArray[np.float32]) -> NDArray[np.float32]:
        """Call the callback with one block."""
        self.pulse.blocks += 1
        self.pulse.samples += len(pcm)
        self.exchange(pcm)
        return pcm


class Socket:
    """Where a device is plugged in, and pulled out, by a test."""

    def __init__(self) -> None:
        self.there = True
        self.opened: list[PluggedIn] = []
        self.tries = 0

    def open(self, exchange: Callable[[NDArray[np.float32]], None]) -> PluggedIn:
        self.tries += 1
        if not self.there:
            raise AudioError("Headset cannot be opened")
        self.opened.append(PluggedIn(exchange))
        return self.opened[-1]

    @property
    def device(self) -> PluggedIn:
        return self.opened[-1]

    def pull_out(self) -> None:
        self.there = False
        self.device.pulse.finished = True


@pytest.fixture
def socket() -> Socket:
    return Socket()


async def _until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for happens on threads that know no event loop
        await asyncio.sleep(0)


@pytest.fixture
def until() -> Callable[[Callable[[], object]], object]:
    """Lets the event loop turn until a condition holds; a test's own time limit ends it."""
    return _until


async def _moving(clock: ManualClock, condition: Callable[[], object]) -> None:
    """Move time in small steps, with turns of the event loop between them, until a condition holds."""
    while not condition():
        clock.advance(0.01)
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
def moving(clock: ManualClock) -> Callable[[Callable[[], object]], object]:
    return lambda condition: _moving(clock, condition)


@pytest.fixture
def sound_server(tmp_path: Path) -> Iterator[SoundServer]:
    folder = tmp_path / "sound"
    folder.mkdir()
    server = SoundServer(folder)
    server.start()
    yield server
    server.stop()
