"""A streaming manager with a processor without a model, and everything it reports."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray

from coda_core.audio import FRAME_SAMPLES, AudioFormat, AudioFrame, Block
from coda_core.clock import Clock, SystemClock
from coda_core.events import Event, Gap
from coda_core.interfaces import Context, Follower, Processor, ProcessorInfo, StepRecord, Wiring
from coda_core.testing import ScriptedProcessor
from coda_streaming.config import OfflineConfig, RealtimeConfig
from coda_streaming.manager import Streaming
from coda_streaming.policy import Policy


@attrs.define
class Bench:
    """One running manager and what came out of it."""

    manager: Streaming
    processor: ScriptedProcessor
    frames: dict[str, list[AudioFrame]] = attrs.field(factory=dict)
    found: list[tuple[str, Event]] = attrs.field(factory=list)
    reported: list[Event] = attrs.field(factory=list)
    events: asyncio.Queue[Event] = attrs.field(factory=asyncio.Queue)
    """What is in `reported`, for who wants to wait for the next."""
    broken: list[tuple[str, str]] = attrs.field(factory=list)
    lost: list[BaseException] = attrs.field(factory=list)
    hand_overs: list[int] = attrs.field(factory=list)

    def deliver(self, frames: Sequence[AudioFrame]) -> None:
        self.hand_overs.append(len(frames))
        for frame in frames:
            self.frames.setdefault(frame.conversation, []).append(frame)

    def report(self, event: Event) -> None:
        self.reported.append(event)
        self.events.put_nowait(event)


class Keeper:
    """A follower that keeps what it got, and whose state is all that it got: tokens by conversation."""

    def __init__(self) -> None:
        self.records: list[StepRecord] = []
        self.held: dict[str, list[int]] = {}

    def open(self, conversation: str, info: ProcessorInfo, state: bytes | None = None) -> None:
        self.held[conversation] = json.loads(state) if state is not None else []

    def feed(self, step: Sequence[StepRecord]) -> Sequence[Event]:
        self.records.extend(step)
        for record in step:
            self.held[record.conversation].append(record.token)
        return ()

    def export(self, conversation: str) -> bytes:
        return json.dumps(self.held[conversation]).encode()

    def close(self, conversation: str) -> Sequence[Event]:
        del self.held[conversation]
        return [Gap(conversation=conversation, frames=99)]


def samples(frames: int, seed: int = 0, *, peak: float = 0.5) -> NDArray[np.float32]:
    """Return so many frames of noise; it is speech unless `peak` is low."""
    return np.random.default_rng(seed).uniform(-peak, peak, frames * FRAME_SAMPLES).astype(np.float32)


def noise(frames: int, seed: int = 0, *, peak: float = 0.5) -> Block:
    """Return `samples` as one block."""
    return Block(samples(frames, seed, peak=peak), AudioFormat())


@asynccontextmanager
async def running(
    folder: Path,
    config: RealtimeConfig | OfflineConfig,
    processor: Any,
    followers: Mapping[str, Follower],
    clock: Clock | None = None,
    worker: str | None = None,
) -> AsyncIterator[Bench]:
    """Start a manager around a processor, and keep what comes out of it."""
    context = Context(
        base_dir=folder,
        cache_dir=folder,
        clock=clock or SystemClock(),
        logger=logging.getLogger("coda.test"),
        progress=lambda what, done, total: None,
    )
    bench = Bench(Streaming(Policy.of(config), context), processor)

    @contextmanager
    def opened() -> Iterator[Processor]:
        yield processor

    wiring = Wiring(
        open_processor=opened,
        worker=worker,
        followers=followers,
        deliver=bench.deliver,
        found=lambda label, events: bench.found.extend((label, event) for event in events),
        report=bench.report,
        broken=lambda conversation, message: bench.broken.append((conversation, message)),
        lost=bench.lost.append,
    )
    async with bench.manager.run(wiring):
        yield bench


OpenBench = Callable[..., AbstractAsyncContextManager[Bench]]


@pytest.fixture
def open_bench(tmp_path: Path) -> OpenBench:
    """Start a manager: ``open_bench(config, processor=..., followers=..., clock=..., worker=...)``."""

    def start(
        config: RealtimeConfig | OfflineConfig,
        *,
        processor: ScriptedProcessor | None = None,
        followers: Mapping[str, Follower] | None = None,
        clock: Clock | None = None,
        worker: str | None = None,
    ) -> AbstractAsyncContextManager[Bench]:
        return running(tmp_path, config, processor or ScriptedProcessor(), followers or {}, clock, worker)

    return start
