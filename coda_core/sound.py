"""What a sound device tells of itself."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs

from coda_core.events import Event

__all__ = ["DeviceMeasured", "Direction"]

Direction = Literal["input", "output"]


@attrs.frozen(kw_only=True)
class DeviceMeasured(Event):
    """How a microphone or loudspeaker is doing, told to observers once a second. Of no conversation; not stored.

    Counters run from the start of the component.
    """

    type: ClassVar[str] = "device_measured"

    direction: Direction
    device: str
    """Its name, as the system has it."""
    connected: bool
    """False while it is gone and silence takes its place."""
    latency_s: float
    """For a loudspeaker, from the hand-over of a sample until it sounds; for a microphone, from the air until it is
    handed over. As far as the system tells."""
    xruns: int
    """Times the system lost input, or had to invent output, because this process was too late for the device."""
    underruns: int = 0
    """Times a loudspeaker had nothing to play although a conversation was going on."""
    dropped_s: float = 0.0
    """Audio thrown away here, because what was behind it would have been too late."""
    losses: int = 0
    """Times the device went away."""

    @property
    def glitches(self) -> int:
        """Everything of the above that can be heard as a fault, but for the device's own absence."""
        return self.xruns + self.underruns + (1 if self.dropped_s else 0)
