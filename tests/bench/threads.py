"""Processor time of each of Coda's threads for one frame of one conversation, with a model that computes nothing.

Where `overhead` says what the framework adds to a step, this says which thread adds it. The processor in this file
answers with the caller's own frame, and with a text token in some of the frames that are speech. Callers alternate
between speech and silence, and each has a reader, as it has behind a transport. What is shown is the least of several
rounds. Beside a real model, whose weights take the caches, the same code is slower.

    python tests/bench/threads.py --json
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray
from reporting import Result, arguments, report

from coda_core import FRAME_SAMPLES, Conversation, Kernel, Stack, Subscription
from coda_core.hookspecs import hookimpl
from coda_core.interfaces import Component, Context, ProcessorInfo, SlotOptions, StepInput, StepOutput
from coda_core.plugins import load_plugins
from coda_core.settings import setting
from coda_core.text import Vocabulary
from coda_streaming.config import OfflineConfig

CODA_CONTRACT: Final = 1
_TURN_FRAMES: Final = 25
"""Frames of speech, then as many of silence."""


@attrs.frozen
class NothingConfig:
    """Settings of the processor `nothing`."""

    conversations: int = setting(4, help="how many it serves at once", minimum=1)
    text_share: float = setting(0.2, help="share of frames with a text token", minimum=0, maximum=1)


class Nothing:
    """Answers each frame with itself and, where it is speech, with tokens that were drawn beforehand."""

    def __init__(self, config: NothingConfig) -> None:
        self.info = ProcessorInfo(
            slots=config.conversations,
            delay_frames=0,
            vocabulary=Vocabulary(
                pieces=tuple(bytes([97 + at % 26]) for at in range(8000)),
                word_starts=frozenset(range(4, 8000)),
                padding=3,
                end_of_padding=0,
            ),
            fingerprint="nothing",
        )
        rng = np.random.default_rng(0)
        drawn = rng.integers(4, 8000, (997, config.conversations))
        self._tokens = np.where(rng.random(drawn.shape) < config.text_share, drawn, 3)
        self._steps = 0
        self.used_s = 0.0
        """Processor time of all calls of `step`."""

    def open(self, slot: int, options: SlotOptions) -> None:
        pass

    def step(self, batch: StepInput) -> StepOutput:
        began = time.thread_time()
        count = len(batch.slots)
        self._steps += 1
        output = StepOutput(
            pcm=batch.pcm.copy(),
            valid=np.ones(count, np.bool_),
            token=np.where(batch.caller_speaking, self._tokens[self._steps % len(self._tokens), batch.slots], 3),
            probability=np.full(count, 0.5, np.float32),
            failed=np.zeros(count, np.bool_),
            stage_s={"encode": 0.0, "model": 0.0, "decode": 0.0},
        )
        self.used_s += time.thread_time() - began
        return output

    def close(self, slot: int) -> None:
        pass


_made: list[Nothing] = []


@contextmanager
def _nothing(config: NothingConfig, _context: Context) -> Iterator[Nothing]:
    _made.append(Nothing(config))
    yield _made[-1]


@hookimpl
def coda_register_processors() -> list[Component[NothingConfig]]:
    return [Component("nothing", "Computes nothing.", NothingConfig, _nothing)]


def used_s() -> dict[str, float]:
    """Return the processor time of each thread so far, by its name."""
    return {
        thread.name: time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
        for thread in threading.enumerate()
        if thread.ident is not None
    }


async def _read(output: Subscription[Any]) -> None:
    async for _ in output:
        pass


async def _talk(conversations: list[Conversation], pcm: NDArray[np.float32]) -> None:
    for frames in pcm:
        for conversation, frame in zip(conversations, frames, strict=True):
            await conversation.send(frame)
        await asyncio.sleep(0)
    for conversation in conversations:
        await conversation.drain()


async def _settled(kernel: Kernel) -> None:
    """Wait until the followers have taken every step, and the events of it are stored."""
    while True:
        stages = kernel.measures().stages_s
        steps = stages["step"].count
        if all(stage.count >= steps for name, stage in stages.items() if name.startswith("follow:")):
            break
        await asyncio.sleep(0.001)
    for conversation in kernel.conversations.values():
        await conversation.text(0.0)


async def measure(batch: int, steps: int, rounds: int, text_share: float, *, read: bool) -> list[Result]:
    """Return microseconds for a frame, by thread."""
    rng = np.random.default_rng(0)
    loud = (np.arange(steps)[:, None] + 7 * np.arange(batch)) // _TURN_FRAMES % 2 == 0
    level = np.where(loud, 0.3, 0.0005).astype(np.float32)
    pcm = rng.uniform(-1, 1, (steps, batch, FRAME_SAMPLES)).astype(np.float32) * level[:, :, None]
    stack = Stack(
        processor=NothingConfig(conversations=batch, text_share=text_share), streaming_manager=OfflineConfig()
    )
    found: defaultdict[str, list[float]] = defaultdict(list)
    registry = load_plugins(modules=[("threads", sys.modules[__name__])])
    async with Kernel(stack, registry=registry) as kernel, AsyncExitStack() as exits:
        conversations = [await exits.enter_async_context(kernel.open_conversation()) for _ in range(batch)]
        readers = [asyncio.create_task(_read(each.subscribe())) for each in conversations if read]
        for number in range(rounds + 1):
            processor = _made[-1]
            before, inside = used_s(), processor.used_s
            await _talk(conversations, pcm)
            await _settled(kernel)
            after = used_s()
            if number:
                for name in after:
                    spent = after[name] - before.get(name, 0.0)
                    if name.startswith("coda-worker"):
                        spent -= processor.used_s - inside
                    found[name].append(spent)
        await exits.aclose()
        await asyncio.gather(*readers)
    frames = batch * steps
    rows = [
        Result(case=f"B={batch}", metric=name, unit="us/frame", value=min(times) / frames * 1e6)
        for name, times in found.items()
        if min(times) > 0 and "asyncio" not in name
    ]
    rows.append(Result(case=f"B={batch}", metric="all", unit="us/frame", value=sum(row.value for row in rows)))
    rows.append(Result(case=f"B={batch}", metric="all, of a step", unit="us/step", value=rows[-1].value * batch))
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32, 64], help="batch sizes")
    parser.add_argument("--steps", type=int, default=100, help="steps in a round")
    parser.add_argument("--rounds", type=int, default=9, help="rounds")
    parser.add_argument("--text-share", type=float, default=0.2, help="share of frames with a text token")
    parser.add_argument("--unread", action="store_true", help="let nobody read")
    options = parser.parse_args()
    results = [
        result
        for batch in options.batch
        for result in asyncio.run(
            measure(batch, options.steps, options.rounds, options.text_share, read=not options.unread)
        )
    ]
    report("threads", results, as_json=options.json)


if __name__ == "__main__":
    main()
