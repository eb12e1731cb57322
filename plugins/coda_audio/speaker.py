"""Transport `speaker`: plays the local conversation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from coda_audio.background import in_background
from coda_audio.config import SpeakerConfig
from coda_audio.device_report import DeviceReport
from coda_audio.device_stream import DeviceStream
from coda_audio.keeper import Keeper
from coda_audio.outlet import Outlet
from coda_audio.playout import Playout, PlayoutCounts
from coda_audio.reserve import Reserve
from coda_audio.room import ROOM, Room
from coda_core.audio import AudioFrame
from coda_core.events import Detached, Interrupted, Parked, Paused
from coda_core.interfaces import Context
from coda_core.sound import DeviceMeasured

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from coda_core.kernel import Kernel
    from coda_core.subscription import Subscription

__all__ = ["OpenSpeaker", "Speaker", "open_speaker"]

OpenSpeaker = Callable[[Callable[["NDArray[np.float32]"], None]], DeviceStream]
"""Opens the device; what it is given fills every block, on the device's thread."""

_Output = AudioFrame | Interrupted | Paused | Parked | Detached
_WAITING_FRAMES: Final = 64
_BLOCK_S: Final = 0.010
_GULP: Final = 1 / 3
"""Share of what it stores that a device takes at once: sound systems divide their buffers by two to four."""


class Speaker:
    """Plays the local conversation until it ends or this is cancelled; while the device is gone, nothing is heard."""

    def __init__(self, open_device: OpenSpeaker, config: SpeakerConfig, context: Context, room: Room = ROOM) -> None:
        self._open_device = open_device
        self._context = context
        self._room = room
        self._most_s = config.max_buffer_ms / 1000
        self._reserve = Reserve(self._most_s)
        self._counts = PlayoutCounts()
        self._playout: Playout | None = None
        self._device = config.device or "default"

    async def run(self, kernel: Kernel, ready: Callable[[], None]) -> None:
        conversation = await kernel.local()
        opened = asyncio.Event()
        report = DeviceReport("speaker", self._context)
        keeper = Keeper(
            self._open_with_playout(kernel.info.sample_rate_hz),
            what="speaker",
            clock=self._context.clock,
            logger=self._context.logger,
            changed=opened.set,
            tell=lambda: report(self._measured(keeper)),
        )
        output: Subscription[_Output]
        output = conversation.subscribe(
            *(AudioFrame, Interrupted, Paused, Parked, Detached), size=_WAITING_FRAMES, overflow="drop-oldest"
        )
        async with output:
            keeping = asyncio.create_task(keeper.run())
            keeping.add_done_callback(lambda done: _pass_failure(done, output))
            keeping.add_done_callback(lambda _: opened.set())
            try:
                await opened.wait()
                ready()
                async for item in output:
                    self._take(item, keeper)
                await self._play_out(keeper)
            finally:
                report(self._measured(keeper), last=True)
                keeping.cancel()
                await asyncio.wait([keeping])

    def _take(self, item: _Output, keeper: Keeper) -> None:
        playout = self._playout
        if playout is None or keeper.stream is None:
            return
        match item:
            case AudioFrame():
                playout.write(item.pcm)
            case Interrupted():
                playout.clear()
            case _:
                playout.rest()

    async def _play_out(self, keeper: Keeper) -> None:
        """Let what waits be heard; a device that goes away meanwhile is not waited for."""
        if self._playout is not None and keeper.stream is not None:
            self._playout.rest()
            left_s = self._playout.waiting_s + keeper.stream.latency_s
            await self._context.clock.sleep_until(self._context.clock.now() + left_s)

    def _open_with_playout(self, frame_rate_hz: int) -> Callable[[], DeviceStream]:
        """Return what opens the device and gives it a playout at its rate. Called on a thread."""

        def open_device() -> DeviceStream:
            outlet = Outlet(self._room, self._context.clock)
            stream = self._open_device(outlet)
            self._reserve.taken_at_once(stream.latency_s * _GULP)
            self._playout = Playout(
                frame_rate_hz=frame_rate_hz,
                device_rate_hz=stream.sample_rate_hz,
                reserve=self._reserve,
                most_s=self._most_s,
                counts=self._counts,
            )
            outlet.connect(self._playout, stream.latency_s)
            return stream

        return open_device

    def _measured(self, keeper: Keeper) -> DeviceMeasured:
        stream = keeper.stream
        if stream is not None:
            self._device = stream.device
        delay_s = self._playout.delay_s if self._playout is not None else 0.0
        return DeviceMeasured(
            direction="output",
            device=self._device,
            connected=stream is not None,
            latency_s=delay_s + stream.latency_s if stream is not None else 0.0,
            xruns=keeper.xruns,
            underruns=self._counts.underruns,
            dropped_s=self._counts.dropped_s,
            losses=keeper.losses,
        )


def _pass_failure(done: asyncio.Task[None], output: Subscription[_Output]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        output.end(error)


@asynccontextmanager
async def open_speaker(config: SpeakerConfig, context: Context) -> AsyncIterator[Speaker]:
    """Find the device; raises `AudioError` where there is no such device. It is opened when the kernel serves."""
    from coda_audio.portaudio import find, open_stream

    await in_background(lambda: find(config.device, "output"))

    def open_device(fill: Callable[[NDArray[np.float32]], None]) -> DeviceStream:
        return open_stream(
            config.device,
            "output",
            sample_rate_hz=config.sample_rate,
            channels=config.channels,
            block_s=_BLOCK_S,
            latency_s=config.latency_ms / 1000,
            exchange=fill,
        )

    yield Speaker(open_device, config, context)
