"""What a loudspeaker's callback does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from coda_audio.playout import Playout
from coda_audio.room import Room
from coda_core.clock import Clock

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Outlet"]

_SOUNDING_PEAK: Final = 10 ** (-45 / 20)
"""What a person would call sound: above -45 dBFS."""
_MOST_SAMPLES: Final = 65_536
"""Per block: more than any system asks for."""


class Outlet:
    """Fills every block of an open device, and says in the room for how long it is heard. Waits for nothing."""

    def __init__(self, room: Room, clock: Clock) -> None:
        self._room = room
        self._clock = clock
        self._playout: Playout | None = None
        self._heard_after_s = 0.0
        self._mono: NDArray[np.float32] = np.zeros(_MOST_SAMPLES, np.float32)

    def connect(self, playout: Playout, latency_s: float) -> None:
        """Play from `playout` from now on; until then there is silence. On any thread."""
        self._heard_after_s = latency_s
        self._playout = playout

    def __call__(self, pcm: NDArray[np.float32]) -> None:
        """Fill ``[samples, channels]``, all channels alike."""
        if self._playout is None:
            pcm.fill(0)
            return
        mono = self._mono[: len(pcm)]
        self._playout.pull(mono)
        pcm[:] = mono[:, None]
        if max(mono.max(), -mono.min()) > _SOUNDING_PEAK:
            block_s = len(pcm) / self._playout.device_rate_hz
            self._room.sounds(self._clock.now() + self._heard_after_s + block_s)
