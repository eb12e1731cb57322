"""Parking and resuming one conversation of a small checkpoint: bytes, and milliseconds of each part.

Bytes have the whole of a slot's state as their baseline, as a copy of its full rings would be; taking them out of the
slot has that copy, made in the same round; all other times have one frame, 80 ms, which is when the next is due.
Figures are medians over rounds, in which the parts take turns.

    python tests/bench/park.py --json
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from checkpoints import checkpoint_option
from reporting import Result, arguments, report

from coda_core.clock import SystemClock
from coda_core.interfaces import Context, ParkedState, SlotOptions, StepInput
from coda_core.parking import read_parked, write_parked
from coda_core.paths import cache_dir
from coda_moshi.config import MoshiConfig
from coda_moshi.lifecycle import open_moshi
from coda_moshi.processor import MoshiProcessor

T = TypeVar("T")

FRAME_MS = 80.0


class Stopwatch:
    """Milliseconds of each part, over rounds."""

    def __init__(self) -> None:
        self.taken: dict[str, list[float]] = {}

    def __call__(self, part: str, work: Callable[[], T]) -> T:
        start = time.perf_counter()
        result = work()
        self.taken.setdefault(part, []).append((time.perf_counter() - start) * 1000)
        return result

    def median(self, part: str) -> float:
        return statistics.median(self.taken[part])


def whole_copy(processor: MoshiProcessor, slot: int) -> int:
    """Copy all rows of a slot, used or not; return their bytes."""
    batch = processor.batch
    states = (batch.encoder, batch.language_model, batch.decoder)
    with batch.at_work("copying a slot"):
        rows = [row.tensor.narrow(row.axis, slot, 1).to("cpu", copy=True) for state in states for row in state]
    return sum(row.nbytes for row in rows)


def measure(processor: MoshiProcessor, frames: int, rounds: int, folder: Path) -> list[Result]:
    """Return the figures of a conversation that has lived so many frames."""
    options = SlotOptions(seed=1)
    random = np.random.default_rng(0)
    processor.open(0, options)
    for _ in range(frames):
        pcm = random.uniform(-0.3, 0.3, (1, 1_920)).astype(np.float32)
        processor.step(StepInput(slots=np.array([0]), pcm=pcm, caller_speaking=np.array([True])))
    watch, path = Stopwatch(), folder / "parked"
    for _ in range(rounds):
        whole = watch("whole", lambda: whole_copy(processor, 0))
        state = watch("export", lambda: processor.export(0))
        parked = ParkedState(
            conversation="c", frame=frames, fingerprint="", options=options, slot=state, lane=b"", followers={}
        )
        watch("to file", partial(write_parked, path, parked))
        processor.close(0)
        read = watch("from file", lambda: read_parked(path))
        watch("restore", partial(processor.restore, 0, options, read.slot))
    processor.close(0)
    case = f"after {frames} frames"
    parked_bytes = float(path.stat().st_size)
    results = [Result(case=case, metric="file", unit="bytes", value=parked_bytes, baseline=float(whole))]
    baselines = {"export": watch.median("whole"), "to file": FRAME_MS, "from file": FRAME_MS, "restore": FRAME_MS}
    for part, baseline in baselines.items():
        results.append(Result(case=case, metric=part, unit="ms", value=watch.median(part), baseline=baseline))
    resume = watch.median("from file") + watch.median("restore")
    results.append(Result(case=case, metric="resume", unit="ms", value=resume, baseline=FRAME_MS))
    return results


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--frames", type=int, nargs="+", default=[5, 100], help="frames lived before it is parked")
    parser.add_argument("--rounds", type=int, default=25, help="how often it is parked and resumed")
    parser.add_argument("--slots", type=int, default=8, help="batch size")
    checkpoint_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    context = Context(
        base_dir=Path.cwd(),
        cache_dir=cache_dir(),
        clock=SystemClock(),
        logger=logging.getLogger("coda.bench"),
        progress=lambda what, done, total: None,
    )
    logging.getLogger("coda").setLevel(logging.ERROR)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_moshi(MoshiConfig(model_path=options.checkpoint, conversations=options.slots), context) as processor,
    ):
        results = [
            result for frames in options.frames for result in measure(processor, frames, options.rounds, Path(folder))
        ]
    report("park", results, as_json=options.json)


if __name__ == "__main__":
    main()
