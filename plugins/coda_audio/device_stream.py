"""An open sound device, as the rest of the package sees it."""

from __future__ import annotations

from typing import Protocol

import attrs

__all__ = ["DeviceStream", "Pulse"]


@attrs.define
class Pulse:
    """What a stream's callback counts. Written by the callback, read anywhere."""

    blocks: int = 0
    samples: int = 0
    """Samples per channel in those blocks."""
    xruns: int = 0
    """Blocks around which the system lost or invented audio."""
    finished: bool = False
    """True once the callback will not be called any more."""


class DeviceStream(Protocol):
    """A device that is being recorded or played. `close` may wait for the system: not on the event loop."""

    device: str
    sample_rate_hz: int
    latency_s: float
    pulse: Pulse

    def close(self) -> None:
        """Stop the callback and give the device back."""
