"""What the loudspeakers of this process are giving out, for microphones that would hear it.

One for the process and not for a kernel: sound cards belong to the machine, and whatever sounds in the room is heard
by every microphone in it.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ROOM", "Room"]


class Room:
    """Knows until when something sounds. Written by the speaker's callback, read on the event loop."""

    def __init__(self) -> None:
        self._sounding_until_s = float("-inf")

    def sounds(self, until_s: float) -> None:
        """Say that a loudspeaker is heard until then, in seconds of the clock that all components share."""
        self._sounding_until_s = max(self._sounding_until_s, until_s)

    def was_sounding(self, since_s: float, hangover_s: float) -> bool:
        """Return whether anything was heard at `since_s` or later, or less than `hangover_s` before it."""
        return since_s < self._sounding_until_s + hangover_s


ROOM: Final = Room()
