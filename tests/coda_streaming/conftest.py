"""A streaming manager with a processor without a model, and everything it reports."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path

import attrs
import pytest

from coda_core.audio import AudioFrame
from coda_core.clock import Clock, SystemClock
from coda_core.events import Event
from coda_core.interfaces import Context, Follower, Processor, Wiring
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


OpenBench = Callable[..., AbstractAsyncContextManager[Bench]]


@pytest.fixture
def open_bench(tmp_path: Path) -> OpenBench:
    """Start a manager: ``open_bench(config, processor=..., followers=..., clock=..., worker=...)``."""

    @asynccontextmanager
    async def start(
        config: RealtimeConfig | OfflineConfig,
        *,
        processor: ScriptedProcessor | None = None,
        followers: Mapping[str, Follower] | None = None,
        clock: Clock | None = None,
        worker: str | None = None,
    ) -> AsyncIterator[Bench]:
        context = Context(
            base_dir=tmp_path,
            cache_dir=tmp_path,
            clock=clock or SystemClock(),
            logger=logging.getLogger("coda.test"),
            progress=lambda what, done, total: None,
        )
        scripted = processor or ScriptedProcessor()
        bench = Bench(Streaming(Policy.of(config), context), scripted)

        @contextmanager
        def opened() -> Iterator[Processor]:
            yield scripted

        wiring = Wiring(
            open_processor=opened,
            worker=worker,
            followers=followers or {},
            deliver=bench.deliver,
            found=lambda label, events: bench.found.extend((label, event) for event in events),
            report=bench.report,
            broken=lambda conversation, message: bench.broken.append((conversation, message)),
            lost=bench.lost.append,
        )
        async with bench.manager.run(wiring):
            yield bench

    return start
