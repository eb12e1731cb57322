"""Times a step of a full batch, at growing sizes."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

import attrs
import numpy as np

from coda_core.cli.bench.findings import Batch, Findings
from coda_core.cli.bench.subject import Subject
from coda_core.clock import Clock
from coda_core.errors import OutOfMemory
from coda_core.interfaces import Processor, Progress, SlotOptions, StepInput

__all__ = ["time_batches"]

_STEPS: Final = 40
_FEWEST_STEPS: Final = 5
_PATIENCE_S: Final = 3.0
"""A slow model is not stepped more often than fits into this, but `_FEWEST_STEPS` times at least."""
_CLOSE_ENOUGH: Final = 16
"""The search ends where what fits and what does not are nearer to each other than the 16th part, or neighbours."""


def time_batches(subject: Subject, most: int | None, findings: Findings, progress: Progress) -> None:
    """Find the largest batch, of `most` at most, whose step fits into a frame; every size tried is a finding.

    Raises `OutOfMemory` where there is not even room for one conversation.
    """
    bounds = [bound for bound in (most, subject.most) if bound is not None]
    fitting, trying = 0, 1
    failing: int | None = None
    while True:
        slots = _time_batch(subject, trying, findings, progress)
        if not subject.sizable:
            bounds.append(slots)
        if findings.batches[-1].fits:
            fitting = trying
        else:
            failing = trying
            findings.limit = "memory" if findings.batches[-1].problem else "time"
        if failing is None:
            if bounds and fitting >= min(bounds):
                findings.limit = "most"
                return
            trying = min([2 * fitting, *bounds])
        elif failing - fitting <= max(1, fitting // _CLOSE_ENOUGH):
            return
        else:
            trying = (fitting + failing) // 2


def _time_batch(subject: Subject, conversations: int, findings: Findings, progress: Progress) -> int:
    """Add one batch to the findings; return how many slots its processor has, 0 where it could not be made."""
    with ExitStack() as exits:
        try:
            processor = exits.enter_context(subject.processor(conversations, progress))
            frame_s = processor.info.frame_s
            findings.fingerprint = processor.info.fingerprint
            step_s = _steps(processor, conversations, subject.clock, progress)
            batch = Batch(
                conversations=conversations,
                step_s=step_s,
                frame_s=frame_s,
                budget_s=frame_s * (1 - findings.headroom),
            )
            if not batch.fits:
                # Something else may have wanted the processor just then.
                again = attrs.evolve(batch, step_s=_steps(processor, conversations, subject.clock, progress))
                batch = min(batch, again, key=lambda timed: timed.p95_s)
        except OutOfMemory as error:
            if not findings.batches:
                raise
            problem = " ".join(str(error).split())
            known = findings.batches[0]
            findings.batches.append(attrs.evolve(known, conversations=conversations, step_s=(), problem=problem))
            return 0
        findings.batches.append(batch)
        return processor.info.slots


def _steps(processor: Processor, taking_part: int, clock: Clock, progress: Progress) -> tuple[float, ...]:
    """Return how long steps take in which that many slots take part, all of them hearing noise."""
    rng = np.random.default_rng(0)
    noise = rng.uniform(-0.3, 0.3, (taking_part, processor.info.frame_samples)).astype(np.float32)
    batch = StepInput(np.arange(taking_part), noise, np.ones(taking_part, np.bool_))
    what = f"timing a step of {taking_part} {'conversation' if taking_part == 1 else 'conversations'}"
    taken: list[float] = []
    for slot in range(taking_part):
        processor.open(slot, SlotOptions(seed=slot))
    try:
        processor.step(batch)
        begin = clock.now()
        while len(taken) < _STEPS and (len(taken) < _FEWEST_STEPS or clock.now() - begin < _PATIENCE_S):
            start = clock.now()
            processor.step(batch)
            taken.append(clock.now() - start)
            progress(what, len(taken), _STEPS)
    finally:
        for slot in range(taking_part):
            processor.close(slot)
    progress(what, 1, 1)
    return tuple(taken)
