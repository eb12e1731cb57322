"""Audio source `microphone`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import numpy as np

from coda_audio.background import in_background
from coda_audio.config import MicrophoneConfig
from coda_audio.device_report import DeviceReport
from coda_audio.device_stream import DeviceStream
from coda_audio.inbox import Inbox
from coda_audio.keeper import Keeper
from coda_audio.room import ROOM, Room
from coda_core.audio import AudioFormat, Block
from coda_core.interfaces import Context
from coda_core.sound import DeviceMeasured

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Microphone", "OpenMicrophone", "open_microphone"]

OpenMicrophone = Callable[[Callable[["NDArray[np.float32]"], None]], DeviceStream]
"""Opens the device; what it is given takes every block, on the device's thread."""

BLOCK_S: Final = 0.020
_MOST_WAITING_S: Final = 2.0


class Microphone:
    """Yields what a sound device hears, and silence while the device is gone."""

    live = True

    def __init__(
        self,
        open_device: OpenMicrophone,
        format: AudioFormat,
        config: MicrophoneConfig,
        context: Context,
        room: Room = ROOM,
    ) -> None:
        self.format = format
        self._open_device = open_device
        self._config = config
        self._context = context
        self._room = room
        self._device = config.device or "default"

    async def blocks(self) -> AsyncGenerator[Block, None]:
        """Open the device and yield without end. Raises `AudioError` where it cannot be opened."""
        clock = self._context.clock
        inbox = Inbox(asyncio.get_running_loop(), clock, most_s=_MOST_WAITING_S)
        report = DeviceReport("microphone", self._context)
        keeper = Keeper(
            lambda: self._open_device(lambda pcm: inbox.put(pcm, self.format.sample_rate_hz)),
            what="microphone",
            clock=clock,
            logger=self._context.logger,
            changed=inbox.wake.set,
            tell=lambda: report(self._measured(keeper, inbox)),
        )
        keeping = asyncio.create_task(keeper.run())
        keeping.add_done_callback(lambda _: inbox.wake.set())
        try:
            while not keeping.done():
                if keeper.lost:
                    async for block in self._silence(keeper):
                        yield block
                    inbox.clear()
                elif (taken := inbox.take()) is not None:
                    yield Block(self._gated(*taken, keeper), self.format)
                else:
                    inbox.wake.clear()
                    await inbox.wake.wait()
            keeping.result()
        finally:
            report(self._measured(keeper, inbox), last=True)
            keeping.cancel()
            await asyncio.wait([keeping])

    async def _silence(self, keeper: Keeper) -> AsyncGenerator[Block, None]:
        """Yield silence, as fast as time goes, until the device is back."""
        samples = round(BLOCK_S * self.format.sample_rate_hz)
        silence = np.zeros((samples, self.format.channels), np.float32)
        silence.flags.writeable = False
        due_s = self._context.clock.now()
        while keeper.lost:
            due_s += samples / self.format.sample_rate_hz
            await self._context.clock.sleep_until(due_s)
            yield Block(silence, self.format)

    def _gated(self, pcm: NDArray[np.float32], arrived_s: float, keeper: Keeper) -> NDArray[np.float32]:
        if not self._config.half_duplex:
            return pcm
        latency_s = keeper.stream.latency_s if keeper.stream is not None else 0.0
        began_s = arrived_s - latency_s - len(pcm) / self.format.sample_rate_hz
        if self._room.was_sounding(began_s, self._config.hangover_ms / 1000):
            pcm.fill(0)
        return pcm

    def _measured(self, keeper: Keeper, inbox: Inbox) -> DeviceMeasured:
        if keeper.stream is not None:
            self._device = keeper.stream.device
        return DeviceMeasured(
            direction="input",
            device=self._device,
            connected=keeper.stream is not None,
            latency_s=keeper.stream.latency_s if keeper.stream is not None else 0.0,
            xruns=keeper.xruns,
            dropped_s=inbox.dropped_s,
            losses=keeper.losses,
        )


@asynccontextmanager
async def open_microphone(config: MicrophoneConfig, context: Context) -> AsyncIterator[Microphone]:
    """Find the device; raises `AudioError` where there is no such device. It is opened when blocks are asked for."""
    from coda_audio.portaudio import find, open_stream

    device = await in_background(lambda: find(config.device, "input"))
    format = AudioFormat(config.sample_rate or device.sample_rate_hz, config.channels)
    block_s = config.chunk_size / format.sample_rate_hz if config.chunk_size is not None else BLOCK_S

    def open_device(take: Callable[[NDArray[np.float32]], None]) -> DeviceStream:
        return open_stream(
            config.device,
            "input",
            sample_rate_hz=format.sample_rate_hz,
            channels=format.channels,
            block_s=block_s,
            latency_s=None if config.latency_ms is None else config.latency_ms / 1000,
            exchange=take,
        )

    yield Microphone(open_device, format, config, context)
