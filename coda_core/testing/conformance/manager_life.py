"""The suite of streaming managers: how it begins and ends, and who gets in."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from coda_core.audio import AudioFormat, Block
from coda_core.errors import ConversationClosed, Full
from coda_core.interfaces import Admission, SlotOptions
from coda_core.testing.conformance.manager_suite import TURNS, ManagerSuite, talk, turns_of_the_loop, voice
from coda_core.testing.processor import ScriptedProcessor
from coda_core.testing.rig import Rig

__all__ = ["LifeChecks"]


class LifeChecks(ManagerSuite):
    """It is entered and left, and conversations are opened, refused and closed."""

    def test_has_the_methods_of_its_protocol(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.running(tmp_path) as (manager, rig):
                self.has_methods(manager, "run", "admit", "open", "call", "measures")
                assert isinstance(manager.realtime, bool)
                assert manager.info.fingerprint == rig.processor.info.fingerprint, "info is the processor's"
                lane = await manager.open("a", SlotOptions())
                self.has_methods(lane, "push", "drain", "pause", "resume", "command", "park", "close", "measures")
                await lane.close()

        self.run(look())

    def test_processor_lives_on_one_thread_of_its_own(self, tmp_path: Path) -> None:
        """It is entered, stepped and left on W, which is neither the event loop's nor a follower's."""

        async def look() -> tuple[Rig, set[int]]:
            stepped: set[int] = set()
            rig = Rig()
            rig.processor.on_step = lambda _batch: stepped.add(threading.get_ident())
            async with self.running(tmp_path, rig) as (manager, _):
                await talk(manager, "a", 3)
            return rig, stepped

        rig, stepped = self.run(look())
        assert [what for what, _ in rig.life] == ["enter", "leave"], "the processor is entered once, and left"
        threads = {thread for _, thread in rig.life} | stepped
        assert len(threads) == 1, "everything that touches the processor runs on one thread"
        assert threading.get_ident() not in threads, "and not on the event loop's"
        assert not threads & rig.followers["keep"].threads, "nor on a follower's"

    def test_leaving_ends_every_thread(self, tmp_path: Path) -> None:
        before = set(threading.enumerate())

        async def look() -> None:
            async with self.running(tmp_path) as (manager, _):
                await talk(manager, "a", 2)

        self.run(look())
        left = [each for each in set(threading.enumerate()) - before if not each.name.startswith("asyncio_")]
        assert left == [], "whoever leaves `run` finds none of its threads"

    def test_starting_may_be_cancelled_at_every_await(self, tmp_path: Path) -> None:
        async def cancel_after(turns: int) -> Rig:
            rig = Rig()

            async def start() -> None:
                async with self.running(tmp_path, rig):
                    await asyncio.Event().wait()

            starting = asyncio.create_task(start())
            await turns_of_the_loop(turns)
            starting.cancel()
            await asyncio.wait([starting])
            assert starting.cancelled(), "cancelled, it is to end by CancelledError"
            return rig

        before = set(threading.enumerate())
        for turns in TURNS:
            rig = self.run(cancel_after(turns))
            entered = [what for what, _ in rig.life]
            assert entered in ([], ["enter", "leave"]), "a processor that was entered is left"
            left = [each for each in set(threading.enumerate()) - before if not each.name.startswith("asyncio_")]
            assert left == [], f"cancelled after {turns} turns of the loop, it left threads behind"

    def test_a_full_house_refuses_and_has_room_again(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.running(tmp_path, Rig(ScriptedProcessor(2))) as (manager, rig):
                admission = manager.admit()
                assert isinstance(admission, Admission)
                lanes = [await manager.open(str(at), SlotOptions()) for at in range(admission.capacity)]
                refused = manager.admit()
                assert not refused.ok
                assert refused.reason
                with pytest.raises(Full) as full:
                    await manager.open("one too many", SlotOptions())
                assert full.value.capacity == len(lanes)
                await lanes[0].close()
                assert manager.admit().ok
                again = await manager.open("again", SlotOptions())
                for lane in (*lanes[1:], again):
                    await lane.close()
                assert rig.processor.opened == {}, "a slot that is free is wiped"

        self.run(look())

    def test_opening_may_be_cancelled_at_every_await(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.running(tmp_path, Rig(ScriptedProcessor(1))) as (manager, rig):
                for turns in TURNS:
                    opening = asyncio.create_task(manager.open(f"after {turns}", SlotOptions()))
                    await turns_of_the_loop(turns)
                    opening.cancel()
                    await asyncio.wait([opening])
                    if not opening.cancelled():
                        await opening.result().close()
                    lane = await manager.open("next", SlotOptions())
                    await lane.close()
                assert rig.processor.opened == {}
                opened = [name for call, name in rig.followers["keep"].calls if call == "open"]
                closed = [name for call, name in rig.followers["keep"].calls if call == "close"]
                assert sorted(opened) == sorted(closed), "followers forget a conversation that was never opened"

        self.run(look())

    def test_a_closed_lane_takes_nothing(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.running(tmp_path) as (manager, _):
                lane = await manager.open("a", SlotOptions())
                await lane.close()
                await lane.close()
                for work in (lane.push(Block(voice(1), AudioFormat())), lane.drain(), lane.pause(), lane.resume()):
                    with pytest.raises(ConversationClosed):
                        await work

        self.run(look())
