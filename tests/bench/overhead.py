"""What the framework adds to its model: the `offline` manager in a kernel against a plain loop over the same processor.

Both step the same checkpoint with the same noise at the same batch size, sampling with the checkpoint's settings, with
the same number of CPU threads, in turns within one process. The plain loop calls `MoshiProcessor.step` with all slots,
fast step and all, and does nothing with what it returns: against the stock `moshi` loop, which is slower, the framework
would be hidden behind what the fast step saves (`step.py` compares those two).

Callers of the framework send as live ones do, a frame of each at a time and a step ahead of the model. With `--read`
each of them also has a task of its own that reads the answers, which the plain loop has in its hands without one.

Two figures, each the median over rounds of framework over plain loop: of wall time, and of the processor time of all
threads. The second one depends less on what else the machine does. On an idle machine with two cores the two are close,
as all of it is one interpreter's.

    python tests/bench/overhead.py --json
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
import torch
from checkpoints import checkpoint_folder, checkpoint_option
from numpy.typing import NDArray
from processor_loop import ProcessorLoop, processor_loop
from reporting import Result, arguments, report

from coda_core import AudioFrame, Conversation, Kernel, Stack, Subscription
from coda_core.interfaces import StepInput
from coda_moshi.config import MoshiConfig
from coda_streaming.config import OfflineConfig


@attrs.frozen
class Spent:
    """Milliseconds for one step."""

    wall_ms: float
    processor_ms: float


class Stopwatch:
    """Both times since it was made."""

    def __init__(self) -> None:
        self._wall_s, self._processor_s = time.perf_counter(), time.process_time()

    def stop(self, steps: int) -> Spent:
        wall_s, processor_s = time.perf_counter() - self._wall_s, time.process_time() - self._processor_s
        return Spent(wall_s / steps * 1000, processor_s / steps * 1000)


def bare(loop: ProcessorLoop, pcm: NDArray[np.float32]) -> Spent:
    """Step frames ``[batch, steps, 1920]`` from a fresh start."""
    loop.open()
    everyone, silent = np.arange(len(pcm)), np.zeros(len(pcm), np.bool_)
    stopwatch = Stopwatch()
    for frames in pcm.swapaxes(0, 1):
        loop.processor.step(StepInput(slots=everyone, pcm=frames, caller_speaking=silent))
    spent = stopwatch.stop(pcm.shape[1])
    loop.close()
    return spent


async def framework(
    conversations: Sequence[Conversation], first: Subscription[AudioFrame], pcm: NDArray[np.float32]
) -> Spent:
    """Send frames ``[batch, steps, 1920]`` until all are answered; `first` reads the first conversation."""
    stopwatch = Stopwatch()
    for step, frames in enumerate(pcm.swapaxes(0, 1)):
        for conversation, frame in zip(conversations, frames, strict=True):
            await conversation.send(frame)
        if step:
            await anext(first)
    await anext(first)
    for conversation in conversations:
        await conversation.drain()
    return stopwatch.stop(pcm.shape[1])


async def _read(answers: Subscription[AudioFrame]) -> None:
    async for _ in answers:
        pass


async def compare(folder: Path, batch: int, steps: int, rounds: int, *, read: bool) -> list[Result]:
    """Return the figures of one batch size."""
    torch.set_num_threads(1)  # as many as the Moshi client takes for a checkpoint of this size
    pcm = np.random.default_rng(0).uniform(-0.3, 0.3, (batch, steps, 1_920)).astype(np.float32)
    stack = Stack(
        processor=MoshiConfig(model_path=str(folder), conversations=batch, seed=0),
        streaming_manager=OfflineConfig(),
    )
    ours: list[Spent] = []
    theirs: list[Spent] = []
    with processor_loop(folder, batch, seed=0) as plain:
        async with Kernel(stack) as kernel:
            openings = [kernel.open_conversation() for _ in range(batch)]
            conversations = [await opening.__aenter__() for opening in openings]
            first = conversations[0].subscribe(AudioFrame)
            readers = [asyncio.create_task(_read(each.subscribe(AudioFrame))) for each in conversations if read]
            for number in range(rounds + 1):
                loop, framed = bare(plain, pcm), await framework(conversations, first, pcm)
                if number:  # the first round warms up
                    theirs.append(loop)
                    ours.append(framed)
            for opening in openings:
                await opening.__aexit__(None, None, None)
            await asyncio.gather(*readers)
    case = f"B={batch}"
    return [each for name in ("wall_ms", "processor_ms") for each in _compared(case, name, ours, theirs)]


def _compared(case: str, name: str, ours: Sequence[Spent], theirs: Sequence[Spent]) -> list[Result]:
    mine, others = ([getattr(spent, name) for spent in side] for side in (ours, theirs))
    ratio = statistics.median([one / other for one, other in zip(mine, others, strict=True)])
    what = name.removesuffix("_ms")
    return [
        Result(
            case=case,
            metric=f"step, {what}",
            unit="ms",
            value=statistics.median(mine),
            baseline=statistics.median(others),
        ),
        Result(case=case, metric=f"median ratio, {what}", unit="", value=ratio, baseline=1.0),
    ]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32, 64], help="batch sizes")
    parser.add_argument("--steps", type=int, default=40, help="steps in a round")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each, in turn")
    parser.add_argument("--read", action="store_true", help="give each conversation a reader of its own")
    checkpoint_option(parser)
    options = parser.parse_args()
    folder = checkpoint_folder(options.checkpoint)
    results = [
        result
        for batch in options.batch
        for result in asyncio.run(compare(folder, batch, options.steps, options.rounds, read=options.read))
    ]
    report("overhead", results, as_json=options.json)


if __name__ == "__main__":
    main()
