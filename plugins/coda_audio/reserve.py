"""How much audio a loudspeaker keeps waiting, so that a frame that comes late is not heard as a hole.

Every frame brings 80 ms and every device takes 80 ms in that time, so what waits at the moment a frame arrives, its
*margin*, stays where it was at the start, less what the frame is late. The smallest margin of the last seconds is
the *reserve*: what was never needed. A reserve above the goal is latency without use, one far below it the next
hole. Both are put right where it is quiet, a few milliseconds at a time. A hole raises the goal, a long time without
one lowers it again.
"""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["Reserve"]

_WINDOW_FRAMES: Final = 100
_SETTLED_FRAMES: Final = 6
"""Margins to have seen before the reserve is believed to be too small."""
_PAUSE_FRAMES: Final = 12
"""Between two corrections: each is given a second to show."""
_CLEAN_FRAMES: Final = 750
"""A minute without a hole, after which the goal sinks."""
_STEP_S: Final = 0.010
_SLACK_S: Final = 0.020
_FIRST_GOAL_S: Final = 0.060
"""Enough for a machine that is busy now and then; it sinks where the machine turns out to be a calm one."""
_LEAST_GOAL_S: Final = 0.030
_GOAL_UP_S: Final = 0.020
_GOAL_DOWN_S: Final = 0.005
_FIRST_SPREAD_S: Final = 0.040


class Reserve:
    """Decides how much silence to begin with and how much audio to add or leave out. On one thread; knows no clock."""

    def __init__(self, most_s: float) -> None:
        """`most_s` is the most that may ever wait when a frame arrives."""
        self.goal_s = min(_FIRST_GOAL_S, most_s / 2)
        self._least_goal_s = min(_LEAST_GOAL_S, most_s / 2)
        self._most_s = most_s
        self._spread_s = _FIRST_SPREAD_S
        self._margins: deque[float] = deque(maxlen=_WINDOW_FRAMES)
        self._since_correction = 0
        self._since_hole = 0

    @property
    def prefill_s(self) -> float:
        """Silence to put before the first frame: the goal, and room for frames as early and late as they come."""
        return min(self.goal_s + self._spread_s, self._most_s)

    @property
    def margin_s(self) -> float:
        """Mean margin of the last second; 0 before the first frame."""
        latest = list(self._margins)[-_PAUSE_FRAMES:]
        return sum(latest) / len(latest) if latest else 0.0

    def taken_at_once(self, gulp_s: float) -> None:
        """Allow for a device that takes so much audio at once, and then nothing for as long."""
        self._spread_s = max(self._spread_s, gulp_s)

    def hole(self) -> None:
        """There was nothing to play although there should have been."""
        self.goal_s = min(self.goal_s + _GOAL_UP_S, self._most_s / 2)
        self._since_hole = 0
        self.restart()

    def restart(self) -> None:
        """What waits is no longer what it was: `prefill_s` is put before the next frame."""
        if len(self._margins) > _SETTLED_FRAMES:
            self._spread_s = max(_SLACK_S, max(self._margins) - min(self._margins))
        self._margins.clear()
        self._since_correction = 0

    def arrived(self, margin_s: float, *, quiet: bool) -> float:
        """Take the margin of a frame; return the seconds to add (above 0) or to leave out (below 0) in it."""
        self._margins.append(margin_s)
        self._since_correction += 1
        self._since_hole += 1
        if self._since_hole >= _CLEAN_FRAMES:
            self._since_hole = 0
            self.goal_s = max(self._least_goal_s, self.goal_s - _GOAL_DOWN_S)
        if not quiet or self._since_correction < _PAUSE_FRAMES:
            return 0.0
        correction = self._correction()
        if correction:
            self._margins = deque((margin + correction for margin in self._margins), maxlen=_WINDOW_FRAMES)
            self._since_correction = 0
        return correction

    def _correction(self) -> float:
        reserve_s = min(self._margins)
        if reserve_s < self.goal_s / 2 and len(self._margins) >= _SETTLED_FRAMES:
            return min(self.goal_s - reserve_s, _STEP_S)
        if reserve_s > self.goal_s + _SLACK_S and len(self._margins) == _WINDOW_FRAMES:
            return -min(reserve_s - self.goal_s, _STEP_S)
        return 0.0
