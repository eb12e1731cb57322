"""Conversations that take in their prompt: they ride along in the steps of those that are live."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from coda_core.interfaces import StepInput, StepOutput

if TYPE_CHECKING:
    from coda_streaming.lane import StreamLane

__all__ = ["Prompting", "narrow", "step_with", "widen"]

_AMPLE: Final = 1.5
"""Recent step times that must lie before the next frame is expected, for a step of prompts alone in between."""

_BRIEF: Final = 0.25
"""Share of a frame that a step may take where a frame can come at any moment."""


class Prompting:
    """The lanes that take in their prompt, and when they may have a step of their own.

    What is in it is guarded by the worker's condition; the times of steps belong to the worker.
    """

    def __init__(self, frame_s: float, *, realtime: bool) -> None:
        self._frame_s = frame_s
        self._realtime = realtime
        self._lanes: set[StreamLane] = set()
        self._last_step_s = 0.0
        self._step_s = 0.0
        """What a step took lately: the longest, of which old ones are forgotten step by step."""

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def note(self, lane: StreamLane) -> None:
        """Take a lane in where its prompt still takes steps, leave it out where it does not."""
        (self._lanes.add if lane.prompt_left else self._lanes.discard)(lane)

    def discard(self, lane: StreamLane) -> None:
        """Forget a lane that has lost its slot."""
        self._lanes.discard(lane)

    def riders(self) -> list[StreamLane]:
        """Return the lanes that ride along in the next step."""
        return [lane for lane in self._lanes if not lane.paused] if self._lanes else []

    def advance(self, riders: Sequence[StreamLane], torn: Container[StreamLane]) -> list[StreamLane]:
        """Count a step of each prompt that was not torn; return the lanes that are done with theirs."""
        done: list[StreamLane] = []
        for lane in riders:
            if lane not in torn:
                lane.prompt_left -= 1
                self.note(lane)
                if not lane.prompt_left:
                    done.append(lane)
        return done

    def stepped(self, start_s: float, done_s: float) -> None:
        """Note how long a step took, of whomever it was."""
        self._last_step_s = done_s
        self._step_s = max(done_s - start_s, 0.9 * self._step_s)

    def due(self, others: Iterable[StreamLane], now: float) -> float:
        """Return when a step for prompts alone may start, given that none of the `others` has a frame ready.

        At once where no frame of theirs is expected before it is over; else in a frame's time after the last step, so
        that a prompt goes on where the others send nothing. Their frames bring steps of their own before that.
        """
        for lane in others:
            expected = None if lane.last_arrival_s is None else lane.last_arrival_s + self._frame_s
            if expected is None or expected < now:  # it can come at any moment
                room = self._step_s <= _BRIEF * self._frame_s
            else:
                room = expected - now >= _AMPLE * self._step_s
            if self._realtime and not room:
                return self._last_step_s + self._frame_s
        return now


def step_with(
    step: Callable[[StepInput], StepOutput], batch: StepInput, riders: Sequence[StreamLane]
) -> tuple[StepOutput, list[StreamLane]]:
    """Step `batch`, with prompts riding along; return the output of the others, and the riders that failed."""
    widened, own, added = widen(batch, [lane.slot for lane in riders])
    output = step(widened)
    failed = [lane for lane, row in zip(riders, added.tolist(), strict=True) if output.failed[row]]
    return narrow(output, own), failed


def widen(batch: StepInput, riders: Sequence[int]) -> tuple[StepInput, NDArray[np.intp], NDArray[np.intp]]:
    """Return `batch` with the slots in `riders` added, hearing silence, and the rows of either in it."""
    slots = np.concatenate((batch.slots, np.array(riders, np.int64)))
    order = np.argsort(slots)
    place = np.argsort(order)
    own, added = place[: len(batch.slots)], place[len(batch.slots) :]
    pcm = np.zeros((len(slots), batch.pcm.shape[1]), np.float32)
    pcm[own] = batch.pcm
    speaking = np.zeros(len(slots), np.bool_)
    speaking[own] = batch.caller_speaking
    return StepInput(slots[order], pcm, speaking), own, added


def narrow(output: StepOutput, rows: NDArray[np.intp]) -> StepOutput:
    """Return what `output` has for some rows of its batch."""
    return attrs.evolve(
        output,
        pcm=output.pcm[rows],
        valid=output.valid[rows],
        token=output.token[rows],
        probability=output.probability[rows],
        failed=output.failed[rows],
        injected=None if output.injected is None else output.injected[rows],
    )
