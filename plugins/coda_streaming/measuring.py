"""What a streaming manager knows of its own speed. On the event loop."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
import psutil

from coda_core.interfaces import Distribution
from coda_streaming.histogram import Histogram, HistogramBank
from coda_streaming.pipeline import StepDone

__all__ = ["Meter"]

_RECENT_STEPS: Final = 128
"""About ten seconds of steps."""

_ENOUGH_STEPS: Final = 20


class Meter:
    """Histograms of every stage, for all conversations and for each slot."""

    def __init__(self, slots: int, frame_s: float) -> None:
        self._frame_s = frame_s
        self._stages: dict[str, Histogram] = {}
        self._queue = Histogram()
        self._end_to_end = Histogram()
        self._lanes = HistogramBank(slots)
        self._recent: deque[float] = deque(maxlen=_RECENT_STEPS)
        self._busy_s = 0.0
        self._process = psutil.Process()
        self._process.cpu_percent()
        self.frames = 0
        self.late = 0

    def add(self, step: StepDone, handed_over_s: float) -> None:
        """Take one step."""
        took = step.done_s - step.start_s
        if step.frames:  # a step that failed says nothing of how long steps take
            self._recent.append(took)
        self._busy_s += took
        self._stage("step").add(took)
        self._stage("hand_over").add(handed_over_s - step.done_s)
        for name, seconds in step.stage_s.items():
            self._stage(name).add(seconds)
        self._queue.add_all(step.start_s - step.arrival_s)
        end_to_end = handed_over_s - step.arrival_s
        self._end_to_end.add_all(end_to_end)
        self._lanes.add(np.array([lane.slot for lane in step.lanes]), end_to_end)
        self.frames += len(step.lanes)
        for lane, seconds in zip(step.lanes, end_to_end.tolist(), strict=True):
            lane.frames += 1
            if seconds > self._frame_s:
                lane.late += 1
                self.late += 1

    def fresh(self, slot: int) -> None:
        """Forget the slot's conversation before."""
        self._lanes.clear(slot)

    def idle(self) -> None:
        """Forget recent steps: nobody is there any more to be slow for."""
        self._recent.clear()

    def load(self) -> float:
        """Return the recent p95 of the step time as a share of one frame; 0 where there is nothing to go by.

        Of fewer than 20 steps the p95 would be the slowest, so their median stands in.
        """
        if not self._recent:
            return 0.0
        percent = 95 if len(self._recent) >= _ENOUGH_STEPS else 50
        return float(np.percentile(self._recent, percent)) / self._frame_s

    @property
    def realtime_factor(self) -> float:
        return self.frames * self._frame_s / self._busy_s if self._busy_s else 0.0

    def stages(self) -> dict[str, Distribution]:
        return {
            "queue": self._queue.distribution(),
            **{name: histogram.distribution() for name, histogram in self._stages.items()},
            "end_to_end": self._end_to_end.distribution(),
            "lateness": self._end_to_end.distribution(minus_s=self._frame_s),
        }

    def lane(self, slot: int) -> tuple[Distribution, Distribution]:
        """Return end to end and lateness of the slot's conversation."""
        return self._lanes.distribution(slot), self._lanes.distribution(slot, minus_s=self._frame_s)

    def cpu_share(self) -> float:
        """Return the cores this process kept busy since the last call."""
        return float(self._process.cpu_percent()) / 100

    def resident_bytes(self) -> int:
        return int(self._process.memory_info().rss)

    def _stage(self, name: str) -> Histogram:
        histogram = self._stages.get(name)
        if histogram is None:
            histogram = self._stages[name] = Histogram()
        return histogram
