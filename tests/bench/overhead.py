"""What the framework adds to its model: the `offline` manager in a kernel against bare loops at the same batch size.

Three cases for each batch size, each the framework over a loop that does nothing with what comes out:

- *fast step*: over `MoshiProcessor.step` in a loop, so that the very same code is on both sides. The strictest of the
  three: what the fast step saves hides nothing.
- *stock modules*: with ``fast_step = false`` over the `moshi` package's own loop of encode, `LMGen.step` and decode.
  The same modules compute on both sides; that each slot samples for itself, and can be told things, is the framework's.
- *as shipped*: as it is by default, over the `moshi` package's own loop.

All step the same checkpoint over the same noise, sampling with the checkpoint's settings, with the same number of CPU
threads and on a heap that is kept (see `coda_moshi.kept_heap`), in turns within one process and in the reverse order
every second round. Nobody begins a conversation within a round. Callers of the framework send as live ones do, a frame
of each at a time and a step ahead of the model. With `--read` each of them also has a task of its own that reads the
answers, which the loops have in their hands without one.

Two times, of which the ratios are medians over rounds of framework over loop: on the wall, and of the processor, which
counts all threads until the followers have taken in every step. The second one depends less on what else the machine
does. *Added* is the median difference of processor time.

    python tests/bench/overhead.py --json
"""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Final

# What moshi compiles on a CPU takes a compiler and half a minute, and gains nothing there.
os.environ.setdefault("NO_TORCH_COMPILE", "1")

import attrs
import numpy as np
import torch
from bare_loop import BareLoop
from checkpoints import checkpoint_folder, checkpoint_option
from numpy.typing import NDArray
from processor_loop import ProcessorLoop, processor_loop
from reporting import Result, arguments, report

from coda_core import AudioFrame, Conversation, Kernel, Stack, Subscription
from coda_core.interfaces import StepInput
from coda_moshi.config import MoshiConfig
from coda_streaming.config import OfflineConfig

_SETTLE_S: Final = 0.03
"""More than the state manager is behind the extractor."""


@attrs.frozen
class Spent:
    """Milliseconds for one step."""

    wall_ms: float
    processor_ms: float


Contestant = Callable[[NDArray[np.float32]], Awaitable[Spent]]
"""Steps frames ``[batch, steps, 1920]``."""


class Stopwatch:
    """Both times since it was made."""

    def __init__(self) -> None:
        self._wall_s, self._processor_s = time.perf_counter(), time.process_time()
        self._took_s = 0.0

    def arrived(self) -> None:
        """The last answer is there; what is done behind it counts as processor time alone."""
        self._took_s = time.perf_counter() - self._wall_s

    def stop(self, steps: int) -> Spent:
        processor_s = time.process_time() - self._processor_s
        return Spent(self._took_s / steps * 1000, processor_s / steps * 1000)


@contextmanager
def plain_loop(folder: Path, batch: int) -> Iterator[Contestant]:
    """Yield the loop over Coda's processor."""
    with processor_loop(folder, batch, seed=0) as loop:
        loop.open()

        async def run(pcm: NDArray[np.float32]) -> Spent:
            return await asyncio.to_thread(_step_processor, loop, pcm)

        yield run


def _step_processor(loop: ProcessorLoop, pcm: NDArray[np.float32]) -> Spent:
    everyone, silent = np.arange(len(pcm)), np.zeros(len(pcm), np.bool_)
    stopwatch = Stopwatch()
    for frames in pcm.swapaxes(0, 1):
        loop.processor.step(StepInput(slots=everyone, pcm=frames, caller_speaking=silent))
    stopwatch.arrived()
    return stopwatch.stop(pcm.shape[1])


def stock_loop(folder: Path, batch: int) -> Contestant:
    """Return the loop of the `moshi` package alone."""
    loop = BareLoop(folder, batch)
    loop.reset()

    async def run(pcm: NDArray[np.float32]) -> Spent:
        return await asyncio.to_thread(_step_stock, loop, pcm)

    return run


def _step_stock(loop: BareLoop, pcm: NDArray[np.float32]) -> Spent:
    stopwatch = Stopwatch()
    for frames in pcm.swapaxes(0, 1):
        loop.step(frames)
    stopwatch.arrived()
    return stopwatch.stop(pcm.shape[1])


async def framework(folder: Path, batch: int, exits: AsyncExitStack, *, fast_step: bool, read: bool) -> Contestant:
    """Return the framework with all its conversations open; `exits` closes them."""
    stack = Stack(
        processor=MoshiConfig(model_path=str(folder), conversations=batch, seed=0, fast_step=fast_step),
        streaming_manager=OfflineConfig(),
    )
    kernel = await exits.enter_async_context(Kernel(stack))
    conversations = [await exits.enter_async_context(kernel.open_conversation()) for _ in range(batch)]
    first = conversations[0].subscribe(AudioFrame)
    if read:
        reading = await exits.enter_async_context(asyncio.TaskGroup())
        for conversation in conversations:
            reading.create_task(_read(conversation.subscribe(AudioFrame)))
        exits.push_async_callback(_close, conversations)

    async def run(pcm: NDArray[np.float32]) -> Spent:
        return await _converse(conversations, first, pcm)

    return run


async def _converse(
    conversations: Sequence[Conversation], first: Subscription[AudioFrame], pcm: NDArray[np.float32]
) -> Spent:
    """Send frames until all are answered; `first` reads the first conversation."""
    stopwatch = Stopwatch()
    for step, frames in enumerate(pcm.swapaxes(0, 1)):
        for conversation, frame in zip(conversations, frames, strict=True):
            await conversation.send(frame)
        if step:
            await anext(first)
    await anext(first)
    for conversation in conversations:
        await conversation.drain()
    stopwatch.arrived()
    await conversations[0].text(0.0)
    await asyncio.sleep(_SETTLE_S)
    return stopwatch.stop(pcm.shape[1])


async def _read(answers: Subscription[AudioFrame]) -> None:
    async for _ in answers:
        pass


async def _close(conversations: Sequence[Conversation]) -> None:
    for conversation in conversations:
        await conversation.close()


async def compare(folder: Path, batch: int, steps: int, rounds: int, *, read: bool) -> list[Result]:
    """Return the figures of one batch size."""
    torch.set_num_threads(1)  # as many as the Moshi client takes for a checkpoint of this size
    pcm = np.random.default_rng(0).uniform(-0.3, 0.3, (batch, steps, 1_920)).astype(np.float32)
    async with AsyncExitStack() as exits:
        contestants = {
            "plain": exits.enter_context(plain_loop(folder, batch)),
            "framework": await framework(folder, batch, exits, fast_step=True, read=read),
            "stock": stock_loop(folder, batch),
            "stock framework": await framework(folder, batch, exits, fast_step=False, read=read),
        }
        spent: dict[str, list[Spent]] = {name: [] for name in contestants}
        for number in range(rounds + 1):
            gc.collect()  # so that it falls to nobody
            order = list(contestants)
            for name in reversed(order) if number % 2 else order:
                took = await contestants[name](pcm)
                if number:  # the first round warms up
                    spent[name].append(took)
    cases = (
        ("fast step", "framework", "plain"),
        ("stock modules", "stock framework", "stock"),
        ("as shipped", "framework", "stock"),
    )
    return [
        result for case, mine, others in cases for result in _compared(f"B={batch}, {case}", spent[mine], spent[others])
    ]


def _compared(case: str, ours: Sequence[Spent], theirs: Sequence[Spent]) -> list[Result]:
    results = []
    for what in ("wall", "processor"):
        mine, others = ([getattr(spent, f"{what}_ms") for spent in side] for side in (ours, theirs))
        ratio = statistics.median([one / other for one, other in zip(mine, others, strict=True)])
        value, baseline = statistics.median(mine), statistics.median(others)
        results += [
            Result(case=case, metric=f"step, {what}", unit="ms", value=value, baseline=baseline),
            Result(case=case, metric=f"median ratio, {what}", unit="", value=ratio, baseline=1.0),
        ]
    added = statistics.median([one.processor_ms - other.processor_ms for one, other in zip(ours, theirs, strict=True)])
    return [*results, Result(case=case, metric="added, processor", unit="ms", value=added)]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32, 64], help="batch sizes")
    parser.add_argument("--steps", type=int, default=16, help="steps in a round")
    parser.add_argument("--rounds", type=int, default=11, help="rounds of each, in turn")
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
