"""What becomes of followers that are slow, raise, or never return; audio goes on whatever they do."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence

import pytest

from coda_core.errors import PluginError
from coda_core.events import Event, Quarantined
from coda_core.interfaces import ProcessorInfo, SlotOptions, StepRecord
from coda_core.testing import ManualClock
from coda_streaming.config import OfflineConfig, RealtimeConfig
from tests.coda_streaming.conftest import Bench, Keeper, OpenBench, noise


class Unruly(Keeper):
    """A follower that does in `feed` and `open` what a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.on_feed: Callable[[], None] = lambda: None
        self.on_open: Callable[[str], None] = lambda _conversation: None

    def open(self, conversation: str, info: ProcessorInfo, state: bytes | None = None) -> None:
        self.on_open(conversation)
        super().open(conversation, info, state)

    def feed(self, step: Sequence[StepRecord]) -> Sequence[Event]:
        self.on_feed()
        return super().feed(step)


async def quarantined(bench: Bench) -> Quarantined:
    while not isinstance(event := await bench.events.get(), Quarantined):
        pass
    return event


async def test_one_that_is_slow_again_and_again_is_left_out_and_said_so_once(
    open_bench: OpenBench, caplog: pytest.LogCaptureFixture
) -> None:
    clock, slow, brisk = ManualClock(), Unruly(), Keeper()
    slow.on_feed = lambda: clock.advance(0.081)
    config = RealtimeConfig(follower_strikes=3, measures_interval_s=3600)
    async with open_bench(config, followers={"slow": slow, "brisk": brisk}, clock=clock) as bench:
        lane = await bench.manager.open("a", SlotOptions())
        for _ in range(8):
            await lane.push(noise(1))
            await lane.drain()
            await bench.manager.call("slow", lambda: None)
        event = await quarantined(bench)
        assert (event.who, event.reason) == ("slow", "slow")
        found = bench.manager.measures()
        assert (len(slow.records), found.skipped_records["slow"]) == (3, 5)
        assert found.followers["slow"].quarantine == "slow"
        assert found.followers["slow"].overruns == {"feed": 3}
        assert found.followers["slow"].calls_s["feed"].maximum == pytest.approx(0.081)
        assert found.followers["brisk"].quarantine == ""
        await lane.close()
    assert len(brisk.records) == len(bench.frames["a"]) == 8
    # What it held is flushed all the same.
    assert [label for label, _ in bench.found].count("slow") == 1
    loud = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert len(loud) == 1
    assert '"slow" is left out from now on: it took longer than 80 ms in too many steps' in loud[0].getMessage()


async def test_one_that_is_slow_now_and_then_stays(open_bench: OpenBench) -> None:
    clock, follower = ManualClock(), Unruly()
    slow = iter([False, True] * 10)
    follower.on_feed = lambda: clock.advance(0.2) if next(slow) else None
    config = RealtimeConfig(follower_strikes=2, measures_interval_s=3600)
    async with open_bench(config, followers={"uneven": follower}, clock=clock) as bench:
        lane = await bench.manager.open("a", SlotOptions())
        for _ in range(20):
            await lane.push(noise(1))
            await lane.drain()
            await bench.manager.call("uneven", lambda: None)
        measures = bench.manager.measures().followers["uneven"]
        assert (measures.overruns, measures.quarantine) == ({"feed": 10}, "")
        await lane.close()
    assert len(follower.records) == 20


@pytest.mark.parametrize("config", [RealtimeConfig(follower_strikes=3), OfflineConfig(follower_strikes=3)])
async def test_one_that_raises_again_and_again_is_left_out(
    open_bench: OpenBench, config: RealtimeConfig | OfflineConfig
) -> None:
    follower = Unruly()

    def fail() -> None:
        raise RuntimeError("it fell over")

    follower.on_feed = fail
    async with open_bench(config, followers={"failing": follower}) as bench:
        lane = await bench.manager.open("a", SlotOptions())
        await lane.push(noise(6))
        await lane.drain()
        assert (await quarantined(bench)).reason == "failing"
        await bench.manager.call("failing", lambda: None)
        assert bench.manager.measures().followers["failing"].failures == 3
        assert len(bench.frames["a"]) == 6
        await lane.close()


@pytest.mark.parametrize(
    "config", [RealtimeConfig(follower_hang_s=5, gather_ms=0), OfflineConfig(follower_hang_s=5, gather_ms=0)]
)
async def test_one_that_never_returns_is_left_behind(
    open_bench: OpenBench, config: RealtimeConfig | OfflineConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """Its queue is closed, whoever waits for it is told, and conversations open and end without it."""
    clock, follower, gate, entered = ManualClock(), Unruly(), threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        gate.wait()

    follower.on_feed = hang
    try:
        async with open_bench(config, followers={"hung": follower}, clock=clock) as bench:
            lane = await bench.manager.open("a", SlotOptions())
            await lane.push(noise(1))
            await lane.drain()
            await asyncio.to_thread(entered.wait)
            asked = asyncio.create_task(bench.manager.call("hung", lambda: None))
            while not asked.done():
                clock.advance(1.0)
                await asyncio.sleep(0)
            with pytest.raises(PluginError, match="did not return from a call within 5 s"):
                await asked
            assert (await quarantined(bench)).reason == "hung"
            await lane.push(noise(4))
            await lane.drain()
            other = await bench.manager.open("b", SlotOptions())
            await other.push(noise(2))
            await other.drain()
            for each in (lane, other):
                await each.close()
            assert [len(frames) for frames in bench.frames.values()] == [5, 2]
            with pytest.raises(PluginError, match="its queue is closed"):
                await bench.manager.call("hung", lambda: None)
        # The manager is left although the thread still hangs.
        assert any(thread.name == "coda-follower-hung" for thread in threading.enumerate())
    finally:
        gate.set()
    (thread,) = (each for each in threading.enumerate() if each.name == "coda-follower-hung")
    thread.join()
    assert bench.found == []
    assert sum(record.levelno == logging.CRITICAL for record in caplog.records) == 1


async def test_a_conversation_that_a_follower_cannot_open_goes_on_without_it(open_bench: OpenBench) -> None:
    follower = Unruly()

    def refuse(conversation: str) -> None:
        if conversation == "a":
            raise RuntimeError("not this one")

    follower.on_open = refuse
    async with open_bench(OfflineConfig(), followers={"choosy": follower}) as bench:
        lanes = [await bench.manager.open(name, SlotOptions()) for name in ("a", "b")]
        for lane in lanes:
            await lane.push(noise(3))
        for lane in lanes:
            await lane.drain()
            await lane.close()
        assert bench.manager.measures().followers["choosy"].failures == 1
        again = await bench.manager.open("c", SlotOptions())
        await again.close()
    assert {record.conversation for record in follower.records} == {"b"}
    assert {name: len(frames) for name, frames in bench.frames.items()} == {"a": 3, "b": 3}
    assert {event.conversation for _, event in bench.found} == {"b", "c"}
