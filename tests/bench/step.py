"""A step of the Moshi client against the bare `moshi` loop: `MoshiProcessor.step` over encode, `LMGen.step`, decode.

Both step the same checkpoint with the same noise at the same batch size and the same number of CPU threads, in turns
within one process, without a kernel on either side. A round's figure is its wall time divided by its steps; *step* is
the median over rounds, and the median ratio is over the rounds' ratios. *Processor time* is what the stepping thread
had of a core, which is steadier where other work wants the cores too. The greedy rounds are compared token by token
and sample by sample, and the benchmark fails where they differ; the sampled ones draw differently by design.

    python tests/bench/step.py --json
    python tests/bench/step.py --checkpoint tiny --batch 1 8
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from bare_loop import BareLoop
from checkpoints import checkpoint_folder, checkpoint_option
from numpy.typing import NDArray
from processor_loop import ProcessorLoop, processor_loop
from reporting import Result, arguments, interleave, report

_R = TypeVar("_R")


class Different(Exception):
    """The two loops did not say the same."""


class Cost(NamedTuple):
    """What a step takes, in milliseconds."""

    wall_ms: float
    processor_ms: float


class Pair:
    """Both loops on one checkpoint, and what their rounds took."""

    def __init__(self, bare: BareLoop, ours: ProcessorLoop, *, greedy: bool) -> None:
        self._bare, self._ours, self._greedy = bare, ours, greedy
        self.reference: list[Cost] = []
        self.ours: list[Cost] = []

    def round(self, pcm: NDArray[np.float32]) -> None:
        """Step both over frames ``[batch, steps, 1920]``; raises `Different`."""
        (text, voice), reference = _timed(lambda: self._bare.run(pcm), pcm.shape[1])
        self._ours.open()
        try:
            (our_text, our_voice), ours = _timed(lambda: self._ours.run(pcm), pcm.shape[1])
        finally:
            self._ours.close()
        self.reference.append(reference)
        self.ours.append(ours)
        if self._greedy:
            late = our_text.shape[1] - text.shape[1]
            if not np.array_equal(our_text[:, late:], text):
                raise Different(f"the text tokens of {len(pcm)} slots differ from the reference loop's")
            if not np.allclose(our_voice[:, late:], voice, rtol=0, atol=1e-4):
                raise Different(f"the voices of {len(pcm)} slots differ from the reference loop's")


def _timed(run: Callable[[], _R], steps: int) -> tuple[_R, Cost]:
    wall, processor = time.perf_counter(), time.thread_time()
    result = run()
    cost = Cost((time.perf_counter() - wall) * 1000 / steps, (time.thread_time() - processor) * 1000 / steps)
    return result, cost


def compare(folder: Path, batch: int, steps: int, rounds: int) -> list[Result]:
    """Return the figures of one batch size."""
    random = np.random.default_rng(0)
    results = []
    for mode in ("greedy", "sampled"):
        greedy = mode == "greedy"
        with ExitStack() as stack:
            ours = stack.enter_context(processor_loop(folder, batch, greedy=greedy, seed=0))
            pair = Pair(BareLoop(folder, batch, greedy=greedy), ours, greedy=greedy)

            def one_round(pair: Pair = pair) -> None:
                pair.round(random.uniform(-0.3, 0.3, (batch, steps, 1_920)).astype(np.float32))

            interleave(rounds + 1, one_round)
        case = f"B={batch}, {mode}"
        rounds_of_both = list(zip(pair.ours, pair.reference, strict=True))[1:]  # the first round warms up
        results += [
            Result(
                case=case,
                metric=metric,
                unit="ms",
                value=statistics.median(getattr(mine, field) for mine, _ in rounds_of_both),
                baseline=statistics.median(getattr(theirs, field) for _, theirs in rounds_of_both),
            )
            for metric, field in (("step", "wall_ms"), ("processor time", "processor_ms"))
        ]
        ratio = statistics.median(mine.wall_ms / theirs.wall_ms for mine, theirs in rounds_of_both)
        results.append(Result(case=case, metric="median ratio of rounds", unit="", value=ratio, baseline=1.0))
    return results


def main() -> None:
    parser = arguments(__doc__)
    checkpoint_option(parser)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32, 64], help="batch sizes")
    parser.add_argument("--steps", type=int, default=40, help="steps in a round")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each, in turn")
    options = parser.parse_args()
    torch.set_num_threads(1)  # as many as the Moshi client takes for a checkpoint of this size
    folder = checkpoint_folder(options.checkpoint)
    results = [result for batch in options.batch for result in compare(folder, batch, options.steps, options.rounds)]
    report("step", results, as_json=options.json)


if __name__ == "__main__":
    main()
