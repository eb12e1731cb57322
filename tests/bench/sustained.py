"""How many callers Coda holds in real time on this machine, and what the reference server does with two.

Every number of callers gets a kernel of its own with as many slots. The callers talk without a pause, from another
process, each at a phase of its own. The largest number is looked for with shorter runs and confirmed with a full one:
no frame dropped, every block answered, and the p99 of the lateness under one frame.

- ``lateness``, ``step`` and ``load`` are the kernel's own measures; lateness below zero is on time.
- ``end to end`` is what the callers note, from the moment at which a block was due to the arrival of its answer.
- ``behind`` says how late the callers themselves were: it is part of their ``end to end`` and of nothing else.

The reference server (``python -m moshi.server``) runs the same checkpoint on the CPU beside it, with real clients. Its
step is compared with Coda's for one caller. Its end to end has no counterpart here: there is Opus and a WebSocket in
it. How long its second caller waits depends on how long the first one talks (``--reference-seconds``).

    python tests/bench/sustained.py --json
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import attrs
import numpy as np
import psutil
from callers import Callers, Heard
from checkpoints import checkpoint_folder, checkpoint_option
from joining import Joined, join
from numpy.typing import NDArray
from reference import Reference, reference_server
from reporting import Result, arguments, report
from serving_stack import opened, serving_stack

from coda_core import FRAME_S, Full, Measures

_CLOSE_ENOUGH = 0.03
"""The search ends where the numbers that hold and do not hold are this near to each other, or neighbours."""
_PATIENCE = 10
"""Refusals, a second apart, after which a second caller is given up: the machine is busy with something else."""


@attrs.frozen(kw_only=True)
class Run:
    """One number of callers, tried."""

    callers: int
    measures: Measures
    heard: Heard
    kernel_cores: float
    """Cores that the kernel's process kept busy, its end of the callers' socket included."""
    loop_cores: float
    """The event loop's part of them."""
    caller_cores: float

    @property
    def unanswered(self) -> int:
        return int(np.isfinite(self.heard.sent).sum() - np.isfinite(self.heard.received).sum())

    @property
    def holds(self) -> bool:
        lateness = self.measures.stages_s["lateness"]
        return not self.measures.dropped_frames and not self.unanswered and lateness.p99 < FRAME_S


async def talk(checkpoint: str, callers: int, seconds: float) -> Run | None:
    """Let `callers` talk for `seconds`; None where the kernel refuses one of them."""
    process = psutil.Process()
    async with serving_stack(checkpoint, callers) as kernel:
        try:
            async with opened(kernel, callers) as conversations:
                start, busy, loop = time.perf_counter(), _cpu_s(process), time.thread_time()
                async with Callers(conversations, round(seconds / FRAME_S)) as talking:
                    await talking.finished()
                    taken = time.perf_counter() - start
                    busy, loop = _cpu_s(process) - busy, time.thread_time() - loop
                    measures = kernel.measures()
                return Run(
                    callers=callers,
                    measures=measures,
                    heard=talking.heard,
                    kernel_cores=busy / taken,
                    loop_cores=loop / taken,
                    caller_cores=talking.heard.cpu_s / taken,
                )
        except Full:
            return None


async def largest(checkpoint: str, held: int, most: int, search_s: float, confirm_s: float) -> Run | None:
    """Return a full run with the largest number of callers that holds; `held` is one that is known to."""
    failing: int | None = None
    while failing is None or failing - held > max(1, _CLOSE_ENOUGH * held):
        trying = min(most, 2 * held) if failing is None else (held + failing) // 2
        if trying <= held:
            break
        if await _holds(checkpoint, trying, search_s):
            held = trying
        else:
            failing = trying
    while held:
        run = await talk(checkpoint, held, confirm_s)
        if run is not None and run.holds:
            return run
        held -= max(1, round(_CLOSE_ENOUGH * held))
    return None


async def _holds(checkpoint: str, callers: int, seconds: float) -> bool:
    """Return whether a number holds; one that does not is tried again, for something else may have disturbed it."""
    for _ in range(2):
        run = await talk(checkpoint, callers, seconds)
        if run is not None and run.holds:
            return True
    return False


def figures(case: str, run: Run, reference_step_ms: NDArray[np.float64] | None = None) -> list[Result]:
    """Return what one run showed."""
    results = [
        _result(case, "dropped", "frames", run.measures.dropped_frames),
        _result(case, "unanswered", "frames", run.unanswered),
        _result(case, "load", "", run.measures.load),
        _result(case, "cpu of the kernel", "cores", run.kernel_cores),
        _result(case, "cpu of its event loop", "cores", run.loop_cores),
        _result(case, "cpu of the callers", "cores", run.caller_cores),
    ]
    for name in ("lateness", "step"):
        stage = run.measures.stages_s[name]
        values = (1000 * stage.p50, 1000 * stage.p95, 1000 * stage.p99)
        baselines = percentiles(reference_step_ms) if name == "step" and reference_step_ms is not None else None
        results += _percentile_results(case, name, values, baselines)
    results += _percentile_results(case, "end to end", percentiles(1000 * run.heard.end_to_end_s))
    results += _percentile_results(case, "behind", percentiles(1000 * run.heard.behind_s))
    return results


def percentiles(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return p50, p95 and p99."""
    p50, p95, p99 = np.percentile(values, (50, 95, 99)).tolist()
    return p50, p95, p99


async def second_caller(checkpoint: str, reference: Reference | None) -> list[Result]:
    """Return how long a second caller waits for the first sound while another talks."""
    joined: Joined | None = None
    refused = 0
    async with (
        serving_stack(checkpoint, 2) as kernel,
        opened(kernel, 1) as talking,
        Callers(talking, round(60 / FRAME_S)),
    ):
        while joined is None and refused < _PATIENCE:
            await asyncio.sleep(1)
            try:
                joined = await join(kernel)
            except Full:
                refused += 1
    case = "second caller"
    results = [_result(case, "refused", "", refused)]
    if joined is not None:
        theirs = 1000 * reference.second_audio_s if reference is not None else None
        results.append(_result(case, "first audio after", "ms", 1000 * joined.audio_s, theirs))
    return results


def reference_figures(reference: Reference) -> list[Result]:
    """Return what the reference server did."""
    case = "reference server"
    return [
        *_percentile_results(f"{case}, 1 client", "end to end", percentiles(1000 * reference.end_to_end_s)),
        _result(f"{case}, 2 clients", "the first talks for", "ms", 1000 * reference.first_talked_s),
        _result(f"{case}, 2 clients", "second's handshake after", "ms", 1000 * reference.second_handshake_s),
    ]


def _percentile_results(
    case: str, name: str, values: Sequence[float], baselines: Sequence[float] | None = None
) -> list[Result]:
    names = [f"{name} p{rank}" for rank in (50, 95, 99)]
    compared = baselines if baselines is not None else (None, None, None)
    return [
        _result(case, metric, "ms", value, baseline)
        for metric, value, baseline in zip(names, values, compared, strict=True)
    ]


def _result(case: str, metric: str, unit: str, value: float, baseline: float | None = None) -> Result:
    return Result(case=case, metric=metric, unit=unit, value=float(value), baseline=baseline)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def measure(
    checkpoint: str, numbers: Sequence[int], most: int, seconds: float, search_s: float, reference_s: float
) -> list[Result]:
    """Run everything."""
    reference = await reference_server(checkpoint_folder(checkpoint), reference_s) if reference_s else None
    results: list[Result] = []
    held = 1
    for callers in numbers:
        case = f"{callers} callers"
        run = await talk(checkpoint, callers, seconds)
        if run is None:
            results.append(_result(case, "refused", "", 1))
            continue
        results += figures(case, run, 1000 * reference.step_s if reference is not None and callers == 1 else None)
        if run.holds:
            held = max(held, callers)
    if most:
        best = await largest(checkpoint, held, most, search_s, seconds)
        alone = 1.0 if reference is not None else None
        results.append(_result("largest", "callers held", "", best.callers if best is not None else 0, alone))
        if best is not None:
            results += figures("largest", best)
    results += await second_caller(checkpoint, reference)
    return results + (reference_figures(reference) if reference is not None else [])


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--callers", type=int, nargs="*", default=[1, 10, 25, 50], help="numbers to try")
    parser.add_argument("--seconds", type=float, default=60, help="how long they talk")
    parser.add_argument("--most", type=int, default=400, help="largest number to look for; 0 looks for none")
    parser.add_argument("--search-seconds", type=float, default=8, help="how long they talk while it is looked for")
    parser.add_argument(
        "--reference-seconds", type=float, default=15, help="how long a client of the reference server talks; 0: none"
    )
    checkpoint_option(parser)
    options = parser.parse_args()
    results = asyncio.run(
        measure(
            options.checkpoint,
            options.callers,
            options.most,
            options.seconds,
            options.search_seconds,
            options.reference_seconds,
        )
    )
    report("sustained", results, as_json=options.json)


if __name__ == "__main__":
    main()
