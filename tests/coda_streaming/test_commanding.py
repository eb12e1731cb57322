from __future__ import annotations

import logging

import pytest

from coda_core.audio import AudioFormat, Block
from coda_core.commands import Cancel, Command, Interrupt, Say
from coda_core.errors import ConversationError
from coda_core.events import Event, Fault, Injection
from coda_core.interfaces import SlotOptions
from coda_core.testing import ScriptedProcessor
from coda_streaming.config import OfflineConfig
from tests.coda_streaming.conftest import Bench, Keeper, OpenBench, noise


def say(id: int, text: str = "hello world", deadline: int = 10) -> Say:
    return Say(id=id, text=text, deadline_frames=deadline)


def injections(bench: Bench) -> list[tuple[int, str, int | None, str]]:
    found = [event for event in bench.reported if isinstance(event, Injection)]
    return [(event.command, event.status, event.frame, event.text) for event in found]


async def test_a_text_is_followed_from_its_start_to_its_end_with_frames(open_bench: OpenBench) -> None:
    keeper = Keeper()
    async with open_bench(OfflineConfig(), followers={"k": keeper}) as bench:
        lane = await bench.manager.open("ada", SlotOptions(seed=1))
        await lane.push(noise(1))
        await lane.drain()
        assert lane.command(say(5)) == 1
        await lane.push(noise(6))
        await lane.drain()
        # The script begins a word at every second step.
        assert injections(bench) == [(5, "started", 2, "hello world"), (5, "finished", 3, "hello world")]
        await lane.close()
    assert [record.frame for record in keeper.records if record.injected] == [2, 3]
    assert [record.token for record in keeper.records][2:4] == [1, 2]


async def test_a_command_acts_before_the_step_that_it_names(open_bench: OpenBench) -> None:
    seen: list[tuple[int, int]] = []
    processor = ScriptedProcessor()
    steps: list[int] = []
    async with open_bench(OfflineConfig(), processor=processor) as bench:
        lane = await bench.manager.open("ada", SlotOptions())
        take = processor.command

        def command(slot: int, command: Command) -> None:
            seen.append((len(steps), command.frames or 0))  # type: ignore[union-attr]
            take(slot, command)

        processor.command = command  # type: ignore[method-assign]
        processor.on_step = lambda batch: steps.append(len(batch.slots))
        for index in range(20):
            promised = lane.command(Interrupt(frames=index + 1))
            await lane.push(noise(1))
            if index % 3 == 0:
                await lane.drain()
            seen.append((promised, -index - 1))
        await lane.drain()
        await lane.close()
    given = {frames: step for step, frames in seen if frames > 0}
    promised_at = {-frames: step for step, frames in seen if frames < 0}
    assert given == promised_at
    assert len(given) == 20


async def test_an_interruption_and_a_cancellation_reach_the_slot_they_are_for(open_bench: OpenBench) -> None:
    async with open_bench(OfflineConfig()) as bench:
        lanes = {name: await bench.manager.open(name, SlotOptions()) for name in ("ada", "bob")}
        for number, lane in enumerate(lanes.values()):
            lane.command(say(10 + number))
            lane.command(say(20 + number))
        lanes["ada"].command(Interrupt(frames=2))
        lanes["bob"].command(Cancel(id=11))
        for lane in lanes.values():
            await lane.push(noise(8, peak=0.001))
            await lane.drain()
        outcome = {(command, status) for command, status, _, _ in injections(bench)}
        assert outcome == {
            (10, "cancelled"),
            (20, "cancelled"),
            (11, "cancelled"),
            (21, "started"),
            (21, "finished"),
        }
        assert not [frame for frame in bench.frames["ada"][:2] if frame.pcm.any()]
        assert all(frame.pcm.any() for frame in bench.frames["bob"])


@pytest.mark.parametrize(
    ("error", "level", "has_traceback"),
    [
        (ConversationError("no pieces for this"), logging.WARNING, False),
        (ValueError("no pieces for this"), logging.ERROR, True),
    ],
)
async def test_what_the_processor_does_not_take_is_told_and_harms_nobody(
    open_bench: OpenBench, caplog: pytest.LogCaptureFixture, error: Exception, level: int, has_traceback: bool
) -> None:
    processor = ScriptedProcessor()

    def refuse(slot: int, command: Command) -> None:
        raise error

    processor.command = refuse  # type: ignore[method-assign]
    async with open_bench(OfflineConfig(), processor=processor) as bench:
        lane = await bench.manager.open("ada", SlotOptions())
        lane.command(say(3, "\N{SNOWMAN}"))
        await lane.push(noise(3))
        await lane.drain()
        assert injections(bench) == [(3, "cancelled", 1, "\N{SNOWMAN}")]
        assert [event.message for event in bench.reported if isinstance(event, Fault)] == [
            "the processor could not do what was asked: no pieces for this"
        ]
        assert len(bench.frames["ada"]) == 3
    (record,) = (record for record in caplog.records if "does not take" in record.message)
    assert (record.levelno, bool(record.exc_info)) == (level, has_traceback)


async def test_a_restart_after_a_fault_gives_up_what_was_to_be_said(open_bench: OpenBench) -> None:
    async with open_bench(OfflineConfig(on_fault="restart")) as bench:
        lane = await bench.manager.open("ada", SlotOptions())
        lane.command(say(7, deadline=100))
        bench.processor.script = (3,)
        await lane.push(noise(1))
        await lane.drain()
        bench.processor.poisoned.add(lane.slot)
        await lane.push(noise(2))
        await lane.drain()
        kinds: list[type[Event]] = [type(event) for event in bench.reported]
        assert kinds == [Injection, Fault]
        assert injections(bench)[0][:2] == (7, "cancelled")


async def test_commands_wait_while_a_conversation_stands_still(open_bench: OpenBench) -> None:
    async with open_bench(OfflineConfig()) as bench:
        lane = await bench.manager.open("ada", SlotOptions())
        await lane.pause()
        lane.command(say(1))
        await lane.push(Block(noise(4).pcm, AudioFormat()))
        assert bench.processor.commands == []
        await lane.resume()
        await lane.drain()
        assert [status for _, status, _, _ in injections(bench)] == ["started", "finished"]
