"""How many conversations a processor holds in real time on this machine, by trying. Runs on the worker.

Most of a step's time may go into slots that nobody uses: a batch takes as long as it is large, however few take part.
So where a full one is too slow, a processor that can be resized gets a smaller one, and is not just used less.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import attrs
import numpy as np

from coda_core.clock import Clock
from coda_core.interfaces import Processor, SlotOptions, StepInput

__all__ = ["Capacity", "measure_capacity"]

_logger = logging.getLogger("coda.streaming")

_STEPS: Final = 8
_PATIENCE_S: Final = 2.0
"""A slow model is not stepped more often than fits into this, but twice at least."""
_TRIES: Final = 5
"""Sizes that are tried below the full one. Each is a batch made and warmed up: seconds, for a large model."""
_ROUNDING: Final = 1e-6


@attrs.frozen(kw_only=True)
class Capacity:
    """What the trial showed."""

    asked: int
    """Slots that the processor was made with."""
    asked_step_s: float
    """The fastest step with all of them taking part."""
    slots: int
    """Slots to offer: at least one, so that a slow machine can still be tried."""
    step_s: float
    """The fastest step with those taking part."""
    budget_s: float
    """What a step may take."""

    @property
    def fits(self) -> bool:
        """False where even one conversation misses the time there is."""
        return self.step_s <= self.budget_s

    def tell(self, frame_s: float) -> None:
        """Log it, as a warning where it is not what was asked for."""
        room = f"{_ms(self.budget_s)} of a frame's {_ms(frame_s)} are there for it"
        if not self.fits:
            _logger.warning(
                "one step takes %s on this machine, and %s: this is not real time. Ask for fewer conversations, use a "
                "faster device, or use the 'offline' streaming manager.",
                _ms(self.step_s),
                room,
            )
        elif self.slots < self.asked:
            _logger.warning(
                "%d of %d slots are offered: a step takes %s with %d and %s with %d, and %s; the rest is 'headroom'",
                self.slots,
                self.asked,
                _ms(self.step_s),
                self.slots,
                _ms(self.asked_step_s),
                self.asked,
                room,
            )
        else:
            _logger.info("a step with all %d slots takes %s", self.slots, _ms(self.step_s))


def measure_capacity(processor: Processor, clock: Clock, budget_s: float) -> Capacity:
    """Time steps with all slots taking part, and find how many may be where they take longer than `budget_s`.

    A processor that is `coda_core.interfaces.Resizable` is left with a batch of just so many slots. The fastest of a
    few steps counts: slower ones are the machine doing something else at that moment, which admission looks at later,
    when there are callers. Every slot is closed again afterwards.
    """
    asked = processor.info.slots
    resize: Callable[[int], None] = getattr(processor, "resize", _leave)

    def step_s(slots: int) -> float:
        resize(slots)
        return _fastest_step_s(processor, clock, slots)

    asked_step_s = _fastest_step_s(processor, clock, asked)
    times = {asked: asked_step_s}
    slots = _most(times, budget_s, step_s) or 1
    if processor.info.slots != slots:
        resize(slots)
    return Capacity(asked=asked, asked_step_s=asked_step_s, slots=slots, step_s=times[slots], budget_s=budget_s)


def _leave(slots: int) -> None:
    """Stand in for what a processor without `resize` cannot do."""


def _most(times: dict[int, float], budget_s: float, step_s: Callable[[int], float]) -> int:
    """Return the most slots with which a step fits, 0 where it does with none.

    `times` has the time of a full batch; those of the sizes that are tried, 1 among them where nothing fits, are added.
    """
    fitting = max(times) if times[max(times)] <= budget_s else 0
    for tries_left in range(_TRIES, 0, -1):
        too_many = min((slots for slots in times if slots > fitting), default=0)
        if too_many <= fitting + 1:
            break
        slots = _guess(times, budget_s, fitting, too_many)
        if fitting and slots <= fitting:
            break
        if not fitting and tries_left == 1:
            slots = 1
        slots = min(max(slots, fitting + 1), too_many - 1)
        times[slots] = step_s(slots)
        if times[slots] <= budget_s:
            fitting = slots
    return fitting


def _guess(times: dict[int, float], budget_s: float, fitting: int, too_many: int) -> int:
    """Return where the line through the two sizes nearest to the limit reaches it.

    A step of no slots is taken to cost nothing, until a second size says more.
    """
    others = {0: 0.0} if len(times) == 1 else times
    other = fitting or min(slots for slots in others if slots != too_many)
    slope = (times[too_many] - others[other]) / (too_many - other)
    reached = too_many - (times[too_many] - budget_s) / slope if slope > 0 else too_many / 2
    if not fitting and len(times) > 2:
        # The second guess missed as well: times do not lie on a line, or the machine is busy.
        reached = min(reached, too_many / 2)
    return max(0, int(reached + _ROUNDING))


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


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
