"""The suite of streaming managers: parking."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coda_core.audio import FRAME_SAMPLES, AudioFormat, Block
from coda_core.errors import CodaError, ConversationParked, StoreError
from coda_core.interfaces import ParkedState, SlotOptions
from coda_core.testing.conformance.manager_suite import ManagerSuite, voice
from coda_core.testing.processor import ScriptedProcessor
from coda_core.testing.rig import Rig

__all__ = ["ParkingChecks"]


class ParkingChecks(ManagerSuite):
    """A conversation leaves its slot and goes on elsewhere as if nothing had been."""

    def test_a_parked_conversation_goes_on_where_it_was(self, tmp_path: Path) -> None:
        """Audio, tokens, followers and input that waits: in another manager as if nothing had been."""

        async def park() -> ParkedState | None:
            saved: list[ParkedState] = []
            async with self.running(tmp_path) as (manager, rig):
                if "park" not in manager.info.capabilities:
                    return None
                lane = await manager.open("a", SlotOptions(seed=1))
                await lane.push(Block(voice(5), AudioFormat()))
                await lane.drain()
                await lane.pause()
                await lane.push(Block(voice(4, 1)[: 3 * FRAME_SAMPLES + 500], AudioFormat()))

                async def save(state: ParkedState) -> None:
                    assert rig.processor.opened, "the slot is wiped when its state is safe, and not before"
                    saved.append(state)

                await lane.park(save)
                assert rig.processor.opened == {}, "a parked conversation gives its slot back"
                with pytest.raises(ConversationParked):
                    await lane.push(Block(voice(1), AudioFormat()))
            return saved[0]

        async def go_on(state: ParkedState) -> Rig:
            async with self.running(tmp_path) as (manager, rig):
                other = await manager.open("other", SlotOptions())
                lane = await manager.open("a", SlotOptions(seed=1), state)
                assert rig.frames.get("a", []) == [], "it stands still until `resume`"
                await lane.resume()
                await lane.push(Block(voice(4, 1)[3 * FRAME_SAMPLES + 500 :], AudioFormat()))
                await lane.drain()
                # Audio does not wait for followers: what is called comes behind the records of those steps.
                held: list[int] = await manager.call("keep", lambda: list(rig.followers["keep"].held["a"]))
                await lane.close()
                await other.close()
                script = rig.processor.script
                assert held == [script[at % len(script)] for at in range(9)], "followers go on from what they exported"
            return rig

        state = self.run(park())
        if state is None:
            return
        assert isinstance(state, ParkedState)
        assert (state.conversation, state.frame) == ("a", 5)
        assert state.fingerprint == ScriptedProcessor().info.fingerprint
        assert state.followers == {"keep": b"[1, 3, 2, 3, 1]"}
        rig = self.run(go_on(state))
        assert [frame.frame for frame in rig.frames["a"]] == [5, 6, 7, 8], "it goes on with the frame after the last"
        assert np.allclose(rig.pcm("a"), -voice(4, 1), atol=1e-6), "input that waited is answered, to the sample"

    def test_a_conversation_that_cannot_be_saved_keeps_its_slot(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.running(tmp_path) as (manager, rig):
                if "park" not in manager.info.capabilities:
                    return
                lane = await manager.open("a", SlotOptions())
                await lane.push(Block(voice(2), AudioFormat()))
                await lane.drain()

                async def save(_state: ParkedState) -> None:
                    raise StoreError("the disk is full")

                with pytest.raises(StoreError, match="the disk is full"):
                    await lane.park(save)
                assert lane.measures().paused
                await lane.resume()
                await lane.push(Block(voice(2, 1), AudioFormat()))
                await lane.drain()
                assert np.allclose(rig.pcm("a"), -np.concatenate([voice(2), voice(2, 1)]), atol=1e-6)
                await lane.close()

        self.run(look())

    def test_a_state_of_another_model_is_refused(self, tmp_path: Path) -> None:
        async def look() -> None:
            saved: list[ParkedState] = []
            async with self.running(tmp_path) as (manager, _):
                if "park" not in manager.info.capabilities:
                    return
                lane = await manager.open("a", SlotOptions())
                await lane.push(Block(voice(2), AudioFormat()))
                await lane.drain()

                async def save(state: ParkedState) -> None:
                    saved.append(state)

                await lane.park(save)
            another = Rig(ScriptedProcessor(1, script=(1, 2, 3)))
            async with self.running(tmp_path, another) as (manager, _):
                with pytest.raises(CodaError):
                    await manager.open("a", SlotOptions(), saved[0])
                lane = await manager.open("b", SlotOptions())
                await lane.close()

        self.run(look())
