from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from coda_core.errors import ConversationTaken, StoreError
from coda_core.events import Event, Gap, StoreFailing, StoreRecovered
from coda_core.journal import Journal
from coda_core.testing import ManualClock


class Disk:
    """A store that writes when a test lets it, and fails when a test says so."""

    def __init__(self) -> None:
        self.batches: list[Sequence[Event]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fault: Exception | None = None
        self.faulty: str | None = None
        """The conversation that it fails for; None for all."""
        self.tries = 0

    async def record(self, events: Sequence[Event]) -> None:
        self.tries += 1
        await self.gate.wait()
        if self.fault is not None and self.faulty in (None, *(event.conversation for event in events)):
            raise self.fault
        self.batches.append(events)

    @property
    def stored(self) -> list[tuple[str, int]]:
        return [(event.conversation, event.sequence) for batch in self.batches for event in batch]


@asynccontextmanager
async def running(disk: Disk, clock: ManualClock | None = None) -> AsyncIterator[Journal]:
    journal = Journal(disk.record, clock or ManualClock())
    task = asyncio.create_task(journal.run())
    yield journal
    journal.close()
    await task


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_events_are_numbered_by_conversation_and_stamped() -> None:
    disk = Disk()
    async with running(disk) as journal:
        numbered = [journal.add(name, Gap()) for name in ("a", "b", "a", "a", "b")]
    assert [(event.conversation, event.sequence) for event in numbered] == [
        ("a", 1),
        ("b", 1),
        ("a", 2),
        ("a", 3),
        ("b", 2),
    ]
    assert numbered[0].time_s == 1_700_000_000.0
    assert disk.stored == [(event.conversation, event.sequence) for event in numbered]


async def test_durable_means_that_the_store_has_returned() -> None:
    disk = Disk()
    async with running(disk) as journal:
        disk.gate.clear()
        journal.add("a", Gap())
        waiting = asyncio.create_task(journal.durable("a"))
        await settle()
        assert not waiting.done()
        assert journal.durable_sequence("a") == 0
        disk.gate.set()
        await waiting
        assert journal.durable_sequence("a") == 1


async def test_what_comes_while_the_disk_is_busy_makes_one_batch() -> None:
    disk = Disk()
    async with running(disk) as journal:
        disk.gate.clear()
        journal.add("a", Gap())
        await settle()
        for _ in range(50):
            journal.add("a", Gap())
        disk.gate.set()
    assert [len(batch) for batch in disk.batches] == [1, 50]


async def test_a_failing_store_is_tried_again_and_nothing_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    disk, clock = Disk(), ManualClock()
    async with running(disk, clock) as journal:
        disk.fault = StoreError("disk full")
        journal.add("a", Gap())
        with pytest.raises(StoreError, match="disk full"):
            await journal.durable("a")
        for _ in range(3):
            journal.add("a", Gap())
            clock.advance(1.0)
            await settle()
        assert disk.tries == 4
        assert caplog.text.count("trying again") == 1
        disk.fault = None
        clock.advance(1.0)
        await settle()
        assert journal.durable_sequence("a") == 4
    assert disk.stored == [("a", sequence) for sequence in range(1, 5)]
    assert "takes events again" in caplog.text


async def test_observers_are_told_at_once_that_the_store_fails_and_that_it_takes_events_again() -> None:
    disk, clock, told = Disk(), ManualClock(), list[Event]()
    journal = Journal(disk.record, clock, told.append)
    running = asyncio.create_task(journal.run())
    disk.fault = StoreError("disk full")
    journal.add("a", Gap())
    await settle()
    assert told == [StoreFailing(message="disk full", waiting=1)]
    disk.fault = None
    clock.advance(1.0)
    await settle()
    assert told[1:] == [StoreRecovered(lost=0)]
    journal.close()
    await running


async def test_of_too_many_that_wait_the_oldest_are_given_up_counted_and_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coda_core.journal.PENDING_LIMIT", 10)
    disk, clock = Disk(), ManualClock()
    async with running(disk, clock) as journal:
        disk.fault = StoreError("disk full")
        for _ in range(12):
            journal.add("a", Gap())
            await settle()
        assert journal.lost == 2
        assert caplog.text.count("the oldest are lost") == 1
        disk.fault = None
        clock.advance(1.0)
        await settle()
    assert disk.stored == [("a", sequence) for sequence in range(3, 13)]


async def test_after_a_long_failure_events_are_stored_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coda_core.journal.BATCH_LIMIT", 3)
    disk = Disk()
    async with running(disk) as journal:
        for _ in range(8):
            journal.add("a", Gap())
        await journal.durable("a")
    assert [len(batch) for batch in disk.batches] == [3, 3, 2]


async def test_closing_does_not_wait_for_a_store_that_will_not_write(caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk()
    disk.fault = StoreError("no such device")
    async with running(disk) as journal:
        journal.add("a", Gap())
        await settle()
    assert journal.lost == 1
    assert "could not be stored before the end" in caplog.text


async def test_a_forgotten_conversation_leaves_nothing_behind() -> None:
    disk = Disk()
    async with running(disk) as journal:
        journal.add("a", Gap())
        journal.forget("a")
        await settle()
        assert journal.durable_sequence("a") == 0
    assert disk.stored == [("a", 1)]


async def test_an_event_that_can_never_be_stored_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Picky(Disk):
        async def record(self, events: Sequence[Event]) -> None:
            await self.gate.wait()
            if any(event.frame == 13 for event in events):
                raise ValueError("not a number that JSON knows")
            await super().record(events)

    disk = Picky()
    async with running(disk) as journal:
        for frame in (1, 13, 2, 3):
            journal.add("a", Gap(frame=frame))
        journal.add("b", Gap(frame=5))
        disk.gate.clear()
        refused = asyncio.create_task(journal.durable("a"))
        await settle()
        disk.gate.set()
        await journal.durable("b")
        with pytest.raises(StoreError, match="not a number"):
            await refused
        await journal.durable("a")
    assert [event.frame for batch in disk.batches for event in batch] == [1, 2, 3, 5]
    assert journal.lost == 1
    assert "given up" in caplog.text


async def test_what_another_server_has_is_numbered_and_stored_no_more() -> None:
    disk = Disk()
    taken: list[str] = []
    disk.gate.clear()
    journal = Journal(disk.record, ManualClock(), taken=taken.append)
    task = asyncio.create_task(journal.run())
    journal.add("a", Gap())
    await settle()
    for name in ("a", "b", "a"):
        journal.add(name, Gap())
    waiting = asyncio.create_task(journal.durable("a"))
    disk.fault = ConversationTaken("a")
    disk.faulty = "a"
    disk.gate.set()
    with pytest.raises(StoreError, match="another server goes on with conversation a"):
        await waiting
    await journal.durable("b")
    assert (taken, disk.stored, journal.lost) == (["a"], [("b", 1)], 3)
    assert journal.add("a", Gap()).sequence == 4
    with pytest.raises(StoreError, match="another server"):
        await journal.durable("a")
    disk.fault = None
    journal.forget("a")
    journal.go_on("a", 9)
    journal.add("a", Gap())
    await journal.durable("a")
    assert disk.stored == [("b", 1), ("a", 10)]
    journal.close()
    await task
