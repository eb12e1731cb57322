"""How long one frame takes in moshi's own loop."""

from __future__ import annotations

import statistics
import time
from typing import Any, Final

import numpy as np
import torch
from moshi.models import LMGen

from coda_demo_model.live import Checkpoint
from coda_demo_model.voice import FRAME

__all__ = ["time_frames"]

_FRAMES: Final = 12
_THREADS: Final = 2


@torch.no_grad()
def time_frames(checkpoint: Checkpoint, sizes: tuple[int, ...] = (1, 8, 50), rounds: int = 6) -> dict[str, Any]:
    """Return the milliseconds of a frame for batches of each size, on two threads.

    Rounds of the sizes take turns, since the machine's speed drifts. The median of all rounds and the median of the
    best round are given.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(_THREADS)
    try:
        taken: dict[int, list[float]] = {size: [] for size in sizes}
        for _ in range(rounds):
            for size in sizes:
                taken[size].append(_round(checkpoint, size))
    finally:
        torch.set_num_threads(threads)
    return {
        f"frame at B = {size}: median, best round (ms)": [
            round(statistics.median(taken[size]), 1),
            round(min(taken[size]), 1),
        ]
        for size in sizes
    }


def _round(checkpoint: Checkpoint, size: int) -> float:
    """Return the median milliseconds of some frames."""
    generator = LMGen(checkpoint.lm, **checkpoint.sampling)
    sound = torch.from_numpy(0.05 * np.random.default_rng(0).standard_normal((size, 1, FRAME)).astype(np.float32))
    times: list[float] = []
    with checkpoint.mimi.streaming(size), generator.streaming(size):
        for _ in range(_FRAMES):
            begin = time.perf_counter()
            made = generator.step(checkpoint.mimi.encode(sound))
            if made is not None:
                checkpoint.mimi.decode(made[:, 1:])
                times.append(1000 * (time.perf_counter() - begin))
    return statistics.median(times)
