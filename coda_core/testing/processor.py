"""A processor without a model, for tests of what surrounds one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from coda_core.interfaces import ProcessorInfo, SlotOptions, StepInput, StepOutput
from coda_core.text import Vocabulary

__all__ = ["ScriptedProcessor"]

_VOCABULARY = Vocabulary(
    pieces=(b"", b"hello", b"world", b"", b"!"), word_starts=frozenset({1, 2}), padding=3, end_of_padding=0
)


class ScriptedProcessor:
    """Answers each frame with a function of that slot's own history, and does what a test tells it to.

    Moshi's audio is the caller's, scaled by -1; the token of a slot's step k is ``script[k % len(script)]``.
    """

    def __init__(self, slots: int = 4, *, delay_frames: int = 0, script: tuple[int, ...] = (1, 3, 2, 3)) -> None:
        self.info = ProcessorInfo(
            slots=slots, delay_frames=delay_frames, vocabulary=_VOCABULARY, fingerprint=f"scripted-{script}"
        )
        self.script = script
        self.on_step: Callable[[StepInput], None] = lambda _: None
        """Called at the start of every step: moves a clock, waits, or raises."""
        self.poisoned: set[int] = set()
        """Slots that fail at the next step."""
        self.opened: dict[int, SlotOptions] = {}
        self.batches: list[tuple[int, ...]] = []
        """The slots of every step so far."""
        self._steps = np.zeros(slots, np.int64)

    def open(self, slot: int, options: SlotOptions) -> None:
        if slot in self.opened:
            raise AssertionError(f"slot {slot} is opened twice")
        self.opened[slot] = options
        self._steps[slot] = 0

    def step(self, batch: StepInput) -> StepOutput:
        unknown = set(batch.slots.tolist()) - set(self.opened)
        if unknown or np.any(np.diff(batch.slots) <= 0):
            raise AssertionError(f"a step of {batch.slots.tolist()} with open slots {sorted(self.opened)}")
        self.on_step(batch)
        self.batches.append(tuple(batch.slots.tolist()))
        steps = self._steps[batch.slots]
        self._steps[batch.slots] += 1
        failed = np.array([slot in self.poisoned for slot in batch.slots.tolist()])
        self.poisoned.clear()
        valid = steps >= self.info.delay_frames
        script = np.array(self.script, np.int64)
        return StepOutput(
            pcm=np.where(valid[:, None], -batch.pcm, np.float32(0)),
            valid=valid,
            token=script[steps % len(script)],
            probability=np.full(len(steps), 0.5, np.float32),
            failed=failed,
            stage_s={"encode": 0.001, "model": 0.002, "decode": 0.001},
        )

    def close(self, slot: int) -> None:
        self.opened.pop(slot, None)
