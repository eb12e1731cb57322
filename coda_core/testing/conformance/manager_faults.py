"""The suite of streaming managers: faults of the model."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from coda_core.audio import AudioFormat, Block
from coda_core.errors import CodaError, ConversationBroken, ProcessorLost
from coda_core.interfaces import SlotOptions, StepInput
from coda_core.testing.conformance.manager_suite import ManagerSuite, fail, voice

__all__ = ["FaultChecks"]


class FaultChecks(ManagerSuite):
    """A fault ends those whom it hit, and nobody else."""

    def test_a_torn_slot_ends_alone(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.running(tmp_path) as (manager, rig):
                lanes = {name: await manager.open(name, SlotOptions()) for name in "ab"}
                slots = sorted(rig.processor.opened)

                def poison(batch: StepInput) -> None:
                    rig.processor.poisoned = {slots[0]} & set(batch.slots.tolist()) if not rig.broken else set()

                rig.processor.on_step = poison
                for lane in lanes.values():
                    await lane.push(Block(voice(1), AudioFormat()))
                await rig.until(lambda: rig.broken)
                ((name, message),) = rig.broken
                assert message
                with pytest.raises(ConversationBroken):
                    await lanes[name].push(Block(voice(1), AudioFormat()))
                (other,) = set(lanes) - {name}
                await lanes[other].push(Block(voice(2, 1), AudioFormat()))
                await lanes[other].drain()
                assert len(rig.frames[other]) == 3
                await lanes[other].close()
                await manager.open(name, SlotOptions())

        self.run(look())

    def test_a_step_that_raises_ends_those_who_took_part(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.running(tmp_path) as (manager, rig):
                lane, other = await manager.open("a", SlotOptions()), await manager.open("b", SlotOptions())
                await other.pause()
                rig.processor.on_step = lambda _batch: fail()
                await lane.push(Block(voice(1), AudioFormat()))
                await rig.until(lambda: rig.broken)
                assert [name for name, _ in rig.broken] == ["a"]
                rig.processor.on_step = lambda _batch: None
                await other.resume()
                await other.push(Block(voice(2), AudioFormat()))
                await other.drain()
                assert len(rig.frames["b"]) == 2
                await other.close()

        self.run(look())

    def test_a_lost_processor_is_said_and_nobody_new_gets_in(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.running(tmp_path) as (manager, rig):
                lane = await manager.open("a", SlotOptions())

                def lose(_batch: StepInput) -> NoReturn:
                    raise ProcessorLost("the device is gone")

                rig.processor.on_step = lose
                await lane.push(Block(voice(1), AudioFormat()))
                await rig.until(lambda: rig.lost)
                assert isinstance(rig.lost[0], ProcessorLost)
                assert not manager.admit().ok
                with pytest.raises(CodaError):
                    await manager.open("b", SlotOptions())
                with pytest.raises(CodaError):
                    await lane.push(Block(voice(1), AudioFormat()))

        self.run(look())
