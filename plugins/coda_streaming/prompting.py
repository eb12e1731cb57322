"""Conversations that take in their prompt: they ride along in the steps of those that are live."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from coda_core.interfaces import StepInput, StepOutput

if TYPE_CHECKING:
    from coda_streaming.lane import StreamLane

__all__ = ["narrow", "next_prompt_step", "widen"]

_AMPLE: Final = 1.5
"""Recent step times that must lie before the next frame is expected, for a step of prompts alone in between."""

_BRIEF: Final = 0.25
"""Share of a frame that a step may take where a frame can come at any moment."""


def next_prompt_step(
    others: Iterable[StreamLane], *, now: float, last_step: float, step_s: float, frame_s: float, realtime: bool
) -> float:
    """Return when a step for prompts alone may start, given that nobody else has a frame ready.

    At once where no frame of `others` is expected before it is over; else in a frame's time after the last step, so
    that a prompt goes on where the others send nothing. Their frames bring steps of their own before that.
    """
    for lane in others:
        expected = None if lane.last_arrival_s is None else lane.last_arrival_s + frame_s
        unsure = expected is None or expected < now
        room = step_s <= _BRIEF * frame_s if unsure or expected is None else expected - now >= _AMPLE * step_s
        if realtime and not room:
            return last_step + frame_s
    return now


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
