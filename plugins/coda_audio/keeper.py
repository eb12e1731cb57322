"""Keeps a sound device open: notices when it goes away, and opens it again when it is back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from coda_audio.background import in_background
from coda_audio.device_stream import DeviceStream
from coda_core.clock import Clock
from coda_core.errors import AudioError

__all__ = ["Keeper"]

_LOOK_S: Final = 0.25
_TELL_S: Final = 1.0
_PATIENCE_S: Final = 1.0
"""A device whose callback is not called for so long is gone: not every system says so."""
_FIRST_PATIENCE_S: Final = 5.0
"""The same before its first call: some devices have to wake up."""
_RETRY_S: Final = 1.0
_CLOSE_S: Final = 2.0


class Keeper:
    """Holds one device. On the event loop.

    `stream` is the open one, or None: before `run` has opened it and while the device is gone. `changed` is called
    when that changes, `tell` about once a second.
    """

    def __init__(
        self,
        open_device: Callable[[], DeviceStream],
        *,
        what: str,
        clock: Clock,
        logger: logging.Logger,
        changed: Callable[[], None],
        tell: Callable[[], None],
    ) -> None:
        self.stream: DeviceStream | None = None
        self.losses = 0
        self._open_device = open_device
        self._what = what
        self._clock = clock
        self._logger = logger
        self._changed = changed
        self._tell = tell
        self._told_s = clock.now()
        self._earlier_xruns = 0

    @property
    def lost(self) -> bool:
        """True while a device that was open is gone."""
        return self.stream is None and self.losses > 0

    @property
    def xruns(self) -> int:
        """Over all the times that it was open."""
        return self._earlier_xruns + (self.stream.pulse.xruns if self.stream is not None else 0)

    async def run(self) -> None:
        """Hold the device until cancelled, and close it. Raises `AudioError` where it cannot be opened at first."""
        stream = await self._opened()
        while True:
            try:
                self.stream = stream
                self._changed()
                reason = await self._until_lost(stream)
                self._earlier_xruns += stream.pulse.xruns
                self.losses += 1
            finally:
                self.stream = None
                self._changed()
                await self._close(stream)
            self._logger.warning(
                "the %s %s %s: silence takes its place, and it is tried again every second",
                *(self._what, stream.device, reason),
            )
            stream = await self._reopened()
            self._logger.warning("the %s %s is back", self._what, stream.device)

    async def _opened(self) -> DeviceStream:
        return await in_background(self._open_device, discard=lambda stream: stream.close())

    async def _reopened(self) -> DeviceStream:
        while True:
            await self._sleep(_RETRY_S)
            with suppress(AudioError):
                return await self._opened()

    async def _until_lost(self, stream: DeviceStream) -> str:
        """Return what became of the device, in words that follow its name."""
        blocks, since_s, patience_s = 0, self._clock.now(), _FIRST_PATIENCE_S
        while not stream.pulse.finished:
            await self._sleep(_LOOK_S)
            if stream.pulse.blocks != blocks:
                blocks, since_s, patience_s = stream.pulse.blocks, self._clock.now(), _PATIENCE_S
            elif self._clock.now() - since_s >= patience_s:
                return "does not answer"
        return "has gone"

    async def _sleep(self, seconds: float) -> None:
        await self._clock.sleep_until(self._clock.now() + seconds)
        if self._clock.now() - self._told_s >= _TELL_S:
            self._told_s = self._clock.now()
            self._tell()

    async def _close(self, stream: DeviceStream) -> None:
        closing = in_background(stream.close)
        done, _ = await asyncio.wait([closing], timeout=_CLOSE_S)
        if not done:
            self._logger.warning("the %s %s does not let itself be closed", self._what, stream.device)
