"""How many conversations a processor holds in real time on this machine, by trying. Runs on the worker."""

from __future__ import annotations

from typing import Final

import attrs
import numpy as np

from coda_core.clock import Clock
from coda_core.interfaces import Processor, SlotOptions, StepInput

__all__ = ["Capacity", "measure_capacity"]

_STEPS: Final = 8
_PATIENCE_S: Final = 2.0
"""A slow model is not stepped more often than fits into this, but twice at least."""


@attrs.frozen(kw_only=True)
class Capacity:
    """What the trial showed."""

    slots: int
    """Slots to offer: at least one, so that a slow machine can still be tried."""
    step_s: float
    """The fastest step with `slots` of them taking part."""
    fits: bool
    """False where even one conversation misses the time there is."""


def measure_capacity(processor: Processor, clock: Clock, budget_s: float) -> Capacity:
    """Time steps with all slots taking part, and with fewer where they take longer than `budget_s`.

    The fastest of a few steps counts: slower ones are the machine doing something else at that moment, which
    admission looks at later, when there are callers. Every slot is closed again afterwards.
    """
    slots = processor.info.slots
    taken = _fastest_step_s(processor, clock, slots)
    if taken <= budget_s:
        return Capacity(slots=slots, step_s=taken, fits=True)
    fitting, too_many = 0, slots
    best = taken
    while too_many - fitting > 1:
        middle = (fitting + too_many) // 2
        taken = _fastest_step_s(processor, clock, middle)
        if taken <= budget_s:
            fitting, best = middle, taken
        else:
            too_many = middle
    if fitting:
        return Capacity(slots=fitting, step_s=best, fits=True)
    return Capacity(slots=1, step_s=_fastest_step_s(processor, clock, 1), fits=False)


def _fastest_step_s(processor: Processor, clock: Clock, taking_part: int) -> float:
    info = processor.info
    slots = np.arange(taking_part)
    batch = StepInput(slots, np.zeros((taking_part, info.frame_samples), np.float32), np.zeros(taking_part, np.bool_))
    for slot in range(taking_part):
        processor.open(slot, SlotOptions(seed=0))
    try:
        times: list[float] = []
        begin = clock.now()
        while len(times) < _STEPS and (len(times) < 2 or clock.now() - begin < _PATIENCE_S):
            start = clock.now()
            processor.step(batch)
            times.append(clock.now() - start)
    finally:
        for slot in range(taking_part):
            processor.close(slot)
    return min(times)
