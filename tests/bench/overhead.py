"""What the framework adds to its model: the `offline` manager in a kernel against a plain loop over the same processor.

Both step the same checkpoint with the same noise at the same batch size, sampling with the checkpoint's settings, with
the same number of CPU threads, in turns within one process. The plain loop calls `MoshiProcessor.step` with all slots,
fast step and all: against the stock `moshi` loop, which is slower, the framework would be hidden behind what the fast
step saves (`step.py` compares those two). A round's figure is its wall time divided by its steps; the ratio is the
median over rounds of framework over plain loop.

    python tests/bench/overhead.py --json
"""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from checkpoints import checkpoint_folder, checkpoint_option
from numpy.typing import NDArray
from processor_loop import ProcessorLoop, processor_loop
from reporting import Result, arguments, report

from coda_core import Conversation, Kernel, Stack
from coda_moshi.config import MoshiConfig
from coda_streaming.config import OfflineConfig


async def framework(conversations: list[Conversation], pcm: NDArray[np.float32]) -> float:
    """Send one frame of every caller at a time, as live callers do; return the seconds until all are answered."""
    start = time.perf_counter()
    for frames in pcm.swapaxes(0, 1):
        for conversation, frame in zip(conversations, frames, strict=True):
            await conversation.send(frame)
    for conversation in conversations:
        await conversation.drain()
    return time.perf_counter() - start


async def compare(folder: Path, batch: int, steps: int, rounds: int) -> list[Result]:
    """Return the figures of one batch size."""
    torch.set_num_threads(1)  # as many as the Moshi client takes for a checkpoint of this size
    pcm = np.random.default_rng(0).uniform(-0.3, 0.3, (batch, steps, 1_920)).astype(np.float32)
    stack = Stack(
        processor=MoshiConfig(model_path=str(folder), conversations=batch, seed=0),
        streaming_manager=OfflineConfig(),
    )
    with processor_loop(folder, batch, seed=0) as plain:
        return await _rounds(plain, stack, pcm, rounds)


async def _rounds(plain: ProcessorLoop, stack: Stack, pcm: NDArray[np.float32], rounds: int) -> list[Result]:
    batch, steps, _ = pcm.shape
    ours: list[float] = []
    theirs: list[float] = []
    async with Kernel(stack) as kernel:
        openings = [kernel.open_conversation() for _ in range(batch)]
        conversations = [await opening.__aenter__() for opening in openings]
        for number in range(rounds + 1):
            plain.open()
            start = time.perf_counter()
            plain.run(pcm)
            plain_s = time.perf_counter() - start
            plain.close()
            framework_s = await framework(conversations, pcm)
            if number:  # the first round warms up
                theirs.append(plain_s / steps * 1000)
                ours.append(framework_s / steps * 1000)
        for opening in openings:
            await opening.__aexit__(None, None, None)
    ratio = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
    case = f"B={batch}"
    return [
        Result(case=case, metric="step", unit="ms", value=statistics.median(ours), baseline=statistics.median(theirs)),
        Result(case=case, metric="median ratio of rounds", unit="", value=ratio, baseline=1.0),
    ]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32, 64], help="batch sizes")
    parser.add_argument("--steps", type=int, default=40, help="steps in a round")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each, in turn")
    checkpoint_option(parser)
    options = parser.parse_args()
    folder = checkpoint_folder(options.checkpoint)
    results = [
        result
        for batch in options.batch
        for result in asyncio.run(compare(folder, batch, options.steps, options.rounds))
    ]
    report("overhead", results, as_json=options.json)


if __name__ == "__main__":
    main()
