"""How long the stages of a step take."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch

__all__ = ["StageTimes"]


class StageTimes:
    """Times consecutive stages without making the device wait.

    On CUDA, events are placed between the stages and read after the step's last copy, which waits for them anyway: a
    stage is the time from its first kernel's turn to the next stage's, gaps in which the CPU was slower included. The
    copy back is part of no stage. On a CPU it is the clock.
    """

    def __init__(self, stages: Sequence[str], device: torch.device) -> None:
        self._stages = tuple(stages)
        self._cuda = device.type == "cuda"
        self._events = [_event() for _ in range(len(stages) + 1)] if self._cuda else []
        self._marks: list[float] = []

    def start(self) -> None:
        self._marks.clear()
        self.mark()

    def mark(self) -> None:
        """A stage is over, or the first begins."""
        if self._cuda:
            self._events[len(self._marks)].record()  # type: ignore[no-untyped-call]
        self._marks.append(time.perf_counter())

    def seconds(self) -> Mapping[str, float]:
        """Return the length of each stage; on CUDA to be called once the device is done with the step."""
        if self._cuda:
            lengths = [
                before.elapsed_time(after) / 1000  # type: ignore[no-untyped-call]
                for before, after in pairwise(self._events)
            ]
        else:
            lengths = [after - before for before, after in pairwise(self._marks)]
        return dict(zip(self._stages, lengths, strict=True))


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
