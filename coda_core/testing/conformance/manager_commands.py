"""The suite of streaming managers: commands and prompts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from coda_core.audio import AudioFormat, Block
from coda_core.commands import Interrupt, Say
from coda_core.events import Injection
from coda_core.interfaces import SlotOptions
from coda_core.testing.conformance.manager_suite import ManagerSuite, voice
from coda_core.testing.rig import Rig

__all__ = ["CommandChecks"]


class CommandChecks(ManagerSuite):
    """What the model is asked for beside stepping comes in time."""

    def test_a_command_reaches_the_processor_before_the_next_step(self, tmp_path: Path) -> None:
        async def look() -> Rig:
            async with self.running(tmp_path) as (manager, rig):
                if "say" not in manager.info.capabilities:
                    return rig
                lane = await manager.open("a", SlotOptions())
                await lane.push(Block(voice(3), AudioFormat()))
                await lane.drain()
                at = lane.command(Say(id=7, text="hello world", deadline_frames=4))
                assert at == 3, "it returns the index of the step that it acts from"
                await lane.push(Block(voice(8), AudioFormat()))
                await lane.drain()
                lane.command(Interrupt(frames=2))
                await lane.push(Block(voice(1), AudioFormat()))
                await lane.drain()
                await lane.close()
            return rig

        rig = self.run(look())
        if not rig.frames:
            return
        assert [type(command) for _, command in rig.processor.commands] == [Say, Interrupt]
        told = [event for event in rig.reported if isinstance(event, Injection)]
        assert [(event.conversation, event.command, event.status) for event in told] == [
            ("a", 7, "started"),
            ("a", 7, "finished"),
        ], "what the processor says of a command is reported as Injection, with its conversation and its text"
        assert {event.text for event in told} == {"hello world"}
        forced = [record.frame for record in rig.followers["keep"].records if record.injected]
        assert [event.frame for event in told] == [forced[0], forced[-1]], "and with the frame at which it was so"

    def test_a_prompt_is_taken_in_before_anything_is_heard(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.running(tmp_path) as (manager, rig):
                if "prompt" not in manager.info.capabilities:
                    return
                rig.processor.batches.clear()
                lane = await manager.open("a", SlotOptions(prompt="be brief and kind"))
                assert len(rig.processor.batches) >= 4, "open returns when the prompt is taken in"
                assert rig.frames.get("a", []) == [], "and nobody hears of its steps"
                await lane.push(Block(voice(2), AudioFormat()))
                await lane.drain()
                await lane.close()
                assert [frame.frame for frame in rig.frames["a"]] == [0, 1]
                assert np.allclose(rig.pcm("a"), -voice(2), atol=1e-6)

        self.run(look())
