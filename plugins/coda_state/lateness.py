"""How late a conversation's frames were, second by second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

__all__ = ["LatenessLine"]


class LatenessLine:
    """The highest lateness of each second of conversation, until it is taken."""

    def __init__(self, frame_s: float) -> None:
        self._length = max(1, round(1 / frame_s))
        self._seconds: list[tuple[int, float]] = []
        self._end = -1

    def add(self, frame: int, lateness_s: float) -> None:
        """Take in a frame; frames come in order."""
        if frame >= self._end:
            self._seconds.append((frame, lateness_s))
            self._end = frame - frame % self._length + self._length
        elif lateness_s > self._seconds[-1][1]:
            self._seconds[-1] = (self._seconds[-1][0], lateness_s)

    def to_fields(self) -> list[Any]:
        """Return everything, as JSON has it, for `from_fields` to go on from."""
        return [self._end, self._seconds]

    @classmethod
    def from_fields(cls, fields: Sequence[Any], frame_s: float) -> Self:
        """Return the line of which `to_fields` was asked, after it went through JSON."""
        line = cls(frame_s)
        line._end, line._seconds = fields[0], [(frame, lateness_s) for frame, lateness_s in fields[1]]
        return line

    def take(self) -> tuple[tuple[int, float], ...]:
        """Return the first frame of each second and the highest lateness in it, in seconds; then begin anew."""
        taken, self._seconds, self._end = self._seconds, [], -1
        return tuple((frame, round(lateness_s, 4)) for frame, lateness_s in taken)
