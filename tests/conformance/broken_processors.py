"""Processors that are broken, each in one way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from coda_core.commands import Cancel, Command, Interrupt
from coda_core.interfaces import SlotOptions, StepInput, StepOutput
from coda_core.testing import ScriptedProcessor
from coda_core.testing.script import ScriptedSlot

__all__ = ["BROKEN"]


class HasNoFingerprint(ScriptedProcessor):
    def __init__(self, slots: int = 4) -> None:
        super().__init__(slots)
        self.info = attrs.evolve(self.info, fingerprint="")


class CannotExport(ScriptedProcessor):
    export: Any = None


class AnswersInDoubles(ScriptedProcessor):
    def step(self, batch: StepInput) -> StepOutput:
        output = super().step(batch)
        return attrs.evolve(output, pcm=output.pcm.astype(np.float64))


class WorksInPlace(ScriptedProcessor):
    def step(self, batch: StepInput) -> StepOutput:
        output = super().step(batch)
        batch.pcm[:] = 0.0
        return output


class UsesItsBufferAgain(ScriptedProcessor):
    def __init__(self, slots: int = 4) -> None:
        super().__init__(slots)
        self._buffer = np.zeros((slots, 1920), np.float32)

    def step(self, batch: StepInput) -> StepOutput:
        output = super().step(batch)
        self._buffer[: len(output.pcm)] = output.pcm
        return attrs.evolve(output, pcm=self._buffer[: len(output.pcm)])


class WarmsUpForLongerThanItSays(ScriptedProcessor):
    def __init__(self, slots: int = 4) -> None:
        super().__init__(slots, delay_frames=9)
        self.real, self.info = self.info, attrs.evolve(self.info, delay_frames=9)

    def step(self, batch: StepInput) -> StepOutput:
        self.info = self.real
        output = super().step(batch)
        self.info = attrs.evolve(self.real, delay_frames=1)
        return output


class HearsTheNeighbours(ScriptedProcessor):
    def step(self, batch: StepInput) -> StepOutput:
        output = super().step(batch)
        return attrs.evolve(output, pcm=output.pcm + output.pcm.mean(axis=0) * (len(batch.slots) - 1))


class MovesEverySlot(ScriptedProcessor):
    def step(self, batch: StepInput) -> StepOutput:
        for slot in set(self.opened) - set(batch.slots.tolist()):
            self._slots[slot].step(self.script, False)
        return super().step(batch)


class RemembersWhoWasThere(ScriptedProcessor):
    def __init__(self, slots: int = 4) -> None:
        super().__init__(slots, script=(1, 3, 2, 3, 3))

    def open(self, slot: int, options: SlotOptions) -> int | None:
        before = self._slots[slot]
        prompt = super().open(slot, options)
        self._slots[slot] = before
        return prompt

    def close(self, slot: int) -> None:
        self.opened.pop(slot, None)


class ClosesOnce(ScriptedProcessor):
    def close(self, slot: int) -> None:
        self.opened.pop(slot)
        self._slots[slot] = ScriptedSlot(self.info.vocabulary)


class ParksNothing(ScriptedProcessor):
    def restore(self, slot: int, options: SlotOptions, state: Mapping[str, NDArray[Any]]) -> None:
        self.open(slot, options)


class IsEmptiedByExport(ScriptedProcessor):
    def export(self, slot: int) -> Mapping[str, NDArray[Any]]:
        state = super().export(slot)
        self._slots[slot] = ScriptedSlot(self.info.vocabulary)
        return state


class SaysNothingOfCommands(ScriptedProcessor):
    def step(self, batch: StepInput) -> StepOutput:
        return attrs.evolve(super().step(batch), notices=())


class TakesNothingBack(ScriptedProcessor):
    def command(self, slot: int, command: Command) -> None:
        if not isinstance(command, Cancel):
            super().command(slot, command)


class TalksOn(ScriptedProcessor):
    def command(self, slot: int, command: Command) -> None:
        if not isinstance(command, Interrupt):
            super().command(slot, command)


BROKEN: dict[str, type] = {
    "test_says_what_it_is": HasNoFingerprint,
    "test_has_the_methods_of_its_capabilities": CannotExport,
    "test_output_is_aligned_with_its_input": AnswersInDoubles,
    "test_input_is_left_as_it_is": WorksInPlace,
    "test_output_belongs_to_the_caller": UsesItsBufferAgain,
    "test_becomes_valid_after_its_delay": WarmsUpForLongerThanItSays,
    "test_neighbours_change_nothing": HearsTheNeighbours,
    "test_slot_that_is_left_out_stands_still": MovesEverySlot,
    "test_recycled_slot_is_a_fresh_one": RemembersWhoWasThere,
    "test_closing_is_safe": ClosesOnce,
    "test_parked_conversation_goes_on_where_it_was": ParksNothing,
    "test_export_leaves_the_slot_as_it_is": IsEmptiedByExport,
    "test_text_is_said": SaysNothingOfCommands,
    "test_text_can_be_taken_back": TakesNothingBack,
    "test_falls_silent_when_interrupted": TalksOn,
}
"""By the check that finds it out."""
