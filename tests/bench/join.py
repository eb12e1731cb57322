"""What it takes to join a kernel where 49 others talk, and what it costs them.

The others talk from another process without a pause. For a while nobody comes; then callers come, one at a time: each
opens a conversation, talks until the first sound of an answer, and goes. ``first audio`` includes the time in which
the caller speaks the blocks that the model wants to hear first; ``own speech`` is that part. What it costs the others
is their end to end, as they note it, of the answers that came while somebody joined or left, against those that came
while nobody did. A caller whom the kernel refuses, because a step takes too long at that moment, tries again.

    python tests/bench/join.py --json
"""

from __future__ import annotations

import asyncio
import time

import numpy as np
from callers import Callers
from checkpoints import checkpoint_option
from joining import Joined, join
from numpy.typing import NDArray
from reporting import Result, arguments, report
from serving_stack import opened, serving_stack

from coda_core import FRAME_S, Full

_SETTLING_S = 2.0
"""Not looked at: the callers begin."""
_LONGEST_S = 3_600
_PATIENCE = 3
"""Refusals for each caller who shall join, after which it is given up."""


async def measure(checkpoint: str, others: int, joins: int, quiet_s: float, pause_s: float) -> list[Result]:
    """Return the figures of `joins` callers who come while `others` talk."""
    joined: list[Joined] = []
    refused = 0
    async with (
        serving_stack(checkpoint, others + 1) as kernel,
        opened(kernel, others) as conversations,
        Callers(conversations, round(_LONGEST_S / FRAME_S)) as callers,
    ):
        await asyncio.sleep(_SETTLING_S)
        quiet = (time.monotonic(), time.monotonic() + quiet_s)
        await asyncio.sleep(quiet_s)
        while len(joined) < joins and refused < _PATIENCE * joins:
            try:
                joined.append(await join(kernel))
            except Full:
                refused += 1
            await asyncio.sleep(pause_s)
        dropped = kernel.measures().dropped_frames
    case = f"joining {others} others"
    results = [
        Result(case=case, metric="joined", unit="callers", value=len(joined)),
        Result(case=case, metric="refused", unit="callers", value=refused),
    ]
    if joined:
        own = np.array([each.own_s for each in joined])
        results += _spread(case, "opened", np.array([each.opened_s for each in joined]))
        results += _spread(case, "first answer", np.array([each.answered_s for each in joined]))
        results += _spread(case, "first audio", np.array([each.audio_s for each in joined]))
        results.append(Result(case=case, metric="of it own speech", unit="ms", value=1000 * float(np.median(own))))
    case = f"the {others} others"
    before = callers.heard.within([quiet])
    for metric, windows in (
        ("while joining", [each.joining for each in joined]),
        ("while leaving", [each.leaving for each in joined]),
    ):
        during = callers.heard.within(windows)
        if before.size and during.size:
            results += _compared(case, metric, during, before)
    results.append(Result(case=case, metric="dropped", unit="frames", value=dropped))
    return results


def _spread(case: str, metric: str, seconds: NDArray[np.float64]) -> list[Result]:
    p50, p95 = np.percentile(seconds, (50, 95)).tolist()
    values = {"p50": p50, "p95": p95, "max": float(seconds.max())}
    return [Result(case=case, metric=f"{metric} {name}", unit="ms", value=1000 * s) for name, s in values.items()]


def _compared(case: str, metric: str, during: NDArray[np.float64], before: NDArray[np.float64]) -> list[Result]:
    return [
        Result(
            case=case,
            metric=f"end to end p{rank} {metric}",
            unit="ms",
            value=1000 * float(np.percentile(during, rank)),
            baseline=1000 * float(np.percentile(before, rank)),
        )
        for rank in (50, 99)
    ]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--others", type=int, default=49, help="callers who talk already")
    parser.add_argument("--joins", type=int, default=30, help="callers who come")
    parser.add_argument("--quiet-seconds", type=float, default=20, help="how long nobody comes at first")
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between one who goes and the next who comes")
    checkpoint_option(parser)
    options = parser.parse_args()
    results = asyncio.run(
        measure(options.checkpoint, options.others, options.joins, options.quiet_seconds, options.pause)
    )
    report("join", results, as_json=options.json)


if __name__ == "__main__":
    main()
