"""What a streaming manager knows of its own speed. On the event loop."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Final

import numpy as np
import psutil
from numpy.typing import NDArray

from coda_core.interfaces import Distribution
from coda_core.records import record
from coda_streaming.histogram import Histogram, HistogramBank
from coda_streaming.pipeline import StepDone

__all__ = ["Meter"]

_RECENT_STEPS: Final = 128
_RECENT_S: Final = 10.0
"""What is older says nothing of now: nobody may have stepped since a slow moment that is long over."""

_ENOUGH_STEPS: Final = 20
_TOGETHER: Final = 64


@record(eq=False)
class _Timing:
    """When things happened in one step: without its audio, which would keep memory."""

    slots: list[int]
    arrival_s: NDArray[np.float64]
    start_s: float
    took_s: float
    handed_over_s: float
    stage_s: Mapping[str, float]


class Meter:
    """Histograms of every stage, for all conversations and for each slot.

    The times of steps are kept and counted some dozens at a time: on the way of a frame that costs one append. Without
    `realtime` nothing is due at a time, and so no frame is late.
    """

    def __init__(self, slots: int, frame_s: float, *, realtime: bool = True) -> None:
        self._frame_s = frame_s
        self._late_after_s = frame_s if realtime else math.inf
        self._stages: dict[str, Histogram] = {}
        self._queue = Histogram()
        self._end_to_end = Histogram()
        self._lanes = HistogramBank(slots)
        self._lane_queues = HistogramBank(slots)
        self._late_of = np.zeros(slots, np.int64)
        self._late = 0
        self._recent: deque[tuple[float, float]] = deque(maxlen=_RECENT_STEPS)
        """When steps were handed over, and what they and the others on their worker took."""
        self._waiting: list[_Timing] = []
        self._busy_s = 0.0
        self._frames = 0
        self._process = psutil.Process()
        self._process.cpu_percent()

    def add(self, step: StepDone, handed_over_s: float) -> None:
        """Take one step."""
        took = step.done_s - step.start_s
        if step.frames:  # a step that failed says nothing of how long steps take
            self._recent.append((handed_over_s, took + step.others_s))
        slots = [lane.slot for lane in step.lanes]
        self._waiting.append(_Timing(slots, step.arrival_s, step.start_s, took, handed_over_s, step.stage_s))
        if len(self._waiting) >= _TOGETHER:
            self._count()

    @property
    def frames(self) -> int:
        self._count()
        return self._frames

    @property
    def late(self) -> int:
        """Frames handed over later than one frame after their arrival."""
        self._count()
        return self._late

    def fresh(self, slot: int) -> None:
        """Forget the slot's conversation before."""
        self._count()
        self._lanes.clear(slot)
        self._lane_queues.clear(slot)
        self._late_of[slot] = 0

    def idle(self) -> None:
        """Forget recent steps: nobody is there any more to be slow for."""
        self._recent.clear()

    def load(self, now_s: float) -> float:
        """Return the p95 of the step time of the last ten seconds as a share of one frame; 0 with nothing to go by.

        A step time includes what other models took of the same worker for each frame. Of fewer than 20 steps the p95
        would be the slowest, so their median stands in.
        """
        recent = self._recent
        while recent and recent[0][0] < now_s - _RECENT_S:
            recent.popleft()
        if not recent:
            return 0.0
        percent = 95 if len(recent) >= _ENOUGH_STEPS else 50
        return float(np.percentile([taken_s for _, taken_s in recent], percent)) / self._frame_s

    @property
    def realtime_factor(self) -> float:
        return self.frames * self._frame_s / self._busy_s if self._busy_s else 0.0

    def stages(self) -> dict[str, Distribution]:
        self._count()
        return {
            "queue": self._queue.distribution(),
            **{name: histogram.distribution() for name, histogram in self._stages.items()},
            "end_to_end": self._end_to_end.distribution(),
            "lateness": self._end_to_end.distribution(minus_s=self._frame_s),
        }

    def lane_queue(self, slot: int) -> Distribution:
        """Return how long frames of the slot's conversation waited for their step."""
        self._count()
        return self._lane_queues.distribution(slot)

    def lane(self, slot: int) -> tuple[Distribution, Distribution, int]:
        """Return end to end and lateness of the slot's conversation, and how many of its frames were late."""
        self._count()
        end_to_end = self._lanes.distribution(slot)
        return end_to_end, self._lanes.distribution(slot, minus_s=self._frame_s), int(self._late_of[slot])

    def cpu_share(self) -> float:
        """Return the cores this process kept busy since the last call."""
        return float(self._process.cpu_percent()) / 100

    def resident_bytes(self) -> int:
        return int(self._process.memory_info().rss)

    def _count(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        frames = [len(step.slots) for step in waiting]
        slots = np.array([slot for step in waiting for slot in step.slots], np.int64)
        arrival = np.concatenate([step.arrival_s for step in waiting])
        start = np.array([step.start_s for step in waiting])
        took = np.array([step.took_s for step in waiting])
        handed_over = np.array([step.handed_over_s for step in waiting])
        end_to_end = np.repeat(handed_over, frames) - arrival
        late = end_to_end > self._late_after_s
        self._busy_s += float(took.sum())
        self._frames += len(slots)
        self._late += int(late.sum())
        np.add.at(self._late_of, slots, late)
        waited = np.repeat(start, frames) - arrival
        self._queue.add_all(waited)
        self._lane_queues.add(slots, waited)
        self._end_to_end.add_all(end_to_end)
        self._lanes.add(slots, end_to_end)
        stages: defaultdict[str, list[float]] = defaultdict(list)
        for step in waiting:
            for name, seconds in step.stage_s.items():
                stages[name].append(seconds)
        for name, times in {"step": took, "hand_over": handed_over - start - took, **stages}.items():
            self._stages.setdefault(name, Histogram()).add_all(np.asarray(times))
