"""From what a step left on the host to what a processor returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from coda_core.interfaces import StepOutput
from coda_moshi.frame_buffers import HostStep
from coda_moshi.slot_script import Directive

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["step_output"]

_UNTOLD: Final = Directive()


def step_output(
    slots: NDArray[np.int64],
    result: HostStep,
    told: Mapping[int, Directive],
    *,
    padding: int,
    fade: NDArray[np.float32],
) -> StepOutput:
    """Return the rows of `slots`, without stages, marks and notices.

    `padding` is the token of slots that have none, `fade` ``[frame_samples]`` how a voice ends that is told to.
    """
    spoken, valid_rows = result.pcm[slots], result.valid[slots]
    failed = ~result.finite[slots] | (valid_rows & ~np.isfinite(spoken).all(axis=1))
    silent = failed | ~valid_rows
    spoken[silent] = 0.0
    for row in np.flatnonzero(~silent) if told else ():
        directive = told.get(int(slots[row]), _UNTOLD)
        if directive.muted:
            # Not every codec is quiet where it is given its codes of silence.
            spoken[row] *= fade if directive.fading else 0.0
    return StepOutput(
        pcm=spoken,
        valid=~silent,
        token=np.where(silent, padding, result.token[slots]).astype(np.int64),
        probability=np.where(silent, np.float32(0), result.probability[slots]),
        failed=failed,
        stage_s={},
    )
