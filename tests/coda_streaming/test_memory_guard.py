"""A processor that tells of its memory: observers hear of pressure, and callers are refused meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from coda_core.errors import Full
from coda_core.events import Event, MemoryPressure
from coda_core.interfaces import SlotOptions
from coda_core.memory import MemoryUse
from coda_core.testing import ManualClock, ScriptedProcessor
from coda_streaming.config import OfflineConfig
from coda_streaming.memory_guard import MemoryGuard
from coda_streaming.worker import Worker
from tests.coda_streaming.conftest import OpenBench, noise

LIMIT = 2 * 10**9


class Watched(ScriptedProcessor):
    def __init__(self) -> None:
        super().__init__()
        self.used = 10**9

    def memory(self) -> MemoryUse:
        if self.used < 0:
            raise RuntimeError("no idea")
        return MemoryUse(
            used_bytes=self.used, limit_bytes=LIMIT, pressing=self.used > 18 * 10**8, where="that it may take"
        )


class Watch:
    """A guard at work, and what it reported."""

    def __init__(self, processor: ScriptedProcessor, worker: Worker, clock: ManualClock) -> None:
        self.clock = clock
        self.events: list[Event] = []
        self.guard = MemoryGuard(processor, worker, clock, self.events.append)
        self._worker = worker

    async def look(self) -> None:
        """Let a second pass, and wait until it has looked."""
        await asyncio.sleep(0)
        self.clock.advance(1.0)
        for _ in range(3):
            await asyncio.sleep(0)
        await self._worker.call(lambda: None)
        await asyncio.sleep(0)


@asynccontextmanager
async def watching(processor: ScriptedProcessor) -> AsyncIterator[Watch]:
    clock = ManualClock()
    worker = Worker.acquire(None, clock)
    watch = Watch(processor, worker, clock)
    running = asyncio.create_task(watch.guard.run())
    try:
        yield watch
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await asyncio.to_thread(worker.release)


async def test_pressure_is_said_once_and_refuses_until_it_is_over() -> None:
    processor = Watched()
    async with watching(processor) as watch:
        await watch.look()
        assert (watch.guard.refusal, watch.events) == ("", [])
        processor.used = 19 * 10**8
        for _ in range(3):
            await watch.look()
        assert watch.guard.refusal == "memory is short: 1.90 GB of the 2.00 GB that it may take are in use"
        (said,) = watch.events
        assert isinstance(said, MemoryPressure)
        assert (said.conversation, said.pressing, said.used_bytes, said.limit_bytes) == ("", True, 19 * 10**8, LIMIT)
        processor.used = 10**9
        await watch.look()
        assert watch.guard.refusal == ""
        assert [event.pressing for event in watch.events if isinstance(event, MemoryPressure)] == [True, False]


async def test_what_cannot_be_looked_at_is_not_watched(caplog: pytest.LogCaptureFixture) -> None:
    processor = Watched()
    async with watching(processor) as watch:
        processor.used = -1
        await watch.look()
        await watch.look()
        assert (watch.guard.refusal, watch.events) == ("", [])
        assert caplog.text.count("cannot be looked at") == 1


async def test_a_processor_without_a_memory_is_left_alone() -> None:
    async with watching(ScriptedProcessor()) as watch:
        await asyncio.wait_for(watch.guard.run(), 5)
        assert watch.guard.refusal == ""


async def test_a_manager_refuses_callers_while_memory_is_short(open_bench: OpenBench) -> None:
    clock, processor = ManualClock(), Watched()
    async with open_bench(OfflineConfig(), processor=processor, clock=clock) as bench:
        lane = await bench.manager.open("ada", SlotOptions(seed=1))
        processor.used = 19 * 10**8
        clock.advance(1.0)
        assert isinstance(await bench.events.get(), MemoryPressure)
        admission = bench.manager.admit()
        assert not admission.ok
        assert admission.reason.startswith("memory is short: 1.90 GB of the 2.00 GB")
        assert admission.park_first is None
        with pytest.raises(Full, match="memory is short"):
            await bench.manager.open("bob", SlotOptions(seed=2))
        # Who is there already goes on.
        await lane.push(noise(2))
        await lane.drain()
        assert len(bench.frames["ada"]) == 2
        processor.used = 10**9
        clock.advance(1.0)
        assert isinstance(await bench.events.get(), MemoryPressure)
        assert bench.manager.admit().ok
