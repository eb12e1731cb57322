"""Whether anything grows: 100,000 frames while conversations open and close all the time.

The `offline` manager steps as fast as the model goes, with every other default of Coda; what must be kept goes to a
database in a temporary folder. Each caller opens a conversation, talks for a few to some twenty seconds of audio, reads
the answers, closes it and comes again. Memory, threads and descriptors of the process are looked at every so many
frames; the figures compare the last quarter of the looks (value) with the first (baseline).

    python tests/bench/soak.py --json
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import attrs
import numpy as np
import psutil
from checkpoints import checkpoint_option
from reporting import Result, arguments, report

from coda_core import FRAME_S, FRAME_SAMPLES, AudioFrame, Kernel, Stack, Subscription
from coda_moshi.config import MoshiConfig
from coda_state.config import SqliteStoreConfig
from coda_streaming.config import OfflineConfig

_SHORTEST, _LONGEST = 25, 275
"""Frames of a conversation."""
_VOICES = 64
"""Different blocks of sound that callers draw from."""


@attrs.frozen(kw_only=True)
class Look:
    """The process at one moment."""

    resident_mb: float
    threads: int
    descriptors: int


class Soak:
    """Callers who come and go until enough frames are answered."""

    def __init__(self, kernel: Kernel, frames: int, every: int) -> None:
        self.answered = 0
        self.conversations = 0
        self.looks: list[Look] = []
        self._kernel = kernel
        self._frames = frames
        self._every = every
        self._asked = 0
        self._process = psutil.Process()
        rng = np.random.default_rng(0)
        self._voice = rng.uniform(-0.3, 0.3, (_VOICES, FRAME_SAMPLES)).astype(np.float32)
        self._lengths = rng.integers(_SHORTEST, _LONGEST, endpoint=True, size=10_000)

    async def run(self, callers: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(callers):
                tasks.create_task(self._come_and_go())

    async def _come_and_go(self) -> None:
        while self._asked < self._frames:
            length = int(self._lengths[self.conversations % len(self._lengths)])
            length = min(length, self._frames - self._asked)
            self._asked += length
            self.conversations += 1
            async with self._kernel.open_conversation() as conversation:
                reading = asyncio.create_task(self._read(conversation.subscribe(AudioFrame)))
                for index in range(length):
                    await conversation.send(self._voice[index % _VOICES])
                await conversation.drain()
            await reading

    async def _read(self, output: Subscription[AudioFrame]) -> None:
        async for _ in output:
            self.answered += 1
            if self.answered % self._every == 0:
                self.looks.append(
                    Look(
                        resident_mb=self._process.memory_info().rss / 1e6,
                        threads=self._process.num_threads(),
                        descriptors=self._process.num_fds(),
                    )
                )


async def measure(checkpoint: str, callers: int, frames: int, looks: int) -> list[Result]:
    """Return the figures of one soak."""
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(
            processor=MoshiConfig(model_path=checkpoint, conversations=callers),
            streaming_manager=OfflineConfig(),
            state_store=SqliteStoreConfig(path=Path(folder) / "conversations.db"),
        )
        async with Kernel(stack) as kernel:
            soak = Soak(kernel, frames, max(1, frames // looks))
            start = time.perf_counter()
            await soak.run(callers)
            taken = time.perf_counter() - start
    case = f"{callers} slots"
    results = [
        Result(case=case, metric="frames", unit="", value=soak.answered),
        Result(case=case, metric="conversations", unit="", value=soak.conversations),
        Result(case=case, metric="speed", unit="x real time", value=soak.answered * FRAME_S / taken),
    ]
    quarter = max(1, len(soak.looks) // 4)
    for metric, unit in (("resident_mb", "MB"), ("threads", ""), ("descriptors", "")):
        seen = np.array([getattr(look, metric) for look in soak.looks], np.float64)
        for name, summary in (("median", np.median), ("max", np.max)):
            now, then = float(summary(seen[-quarter:])), float(summary(seen[:quarter]))
            results.append(Result(case=case, metric=f"{metric} {name}", unit=unit, value=now, baseline=then))
    return results


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--frames", type=int, default=100_000, help="frames in total")
    parser.add_argument("--callers", type=int, default=50, help="callers at once, and slots")
    parser.add_argument("--looks", type=int, default=200, help="how often the process is looked at")
    checkpoint_option(parser)
    options = parser.parse_args()
    results = asyncio.run(measure(options.checkpoint, options.callers, options.frames, options.looks))
    report("soak", results, as_json=options.json)


if __name__ == "__main__":
    main()
