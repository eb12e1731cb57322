"""The scripts of all slots, of which a step touches only those that are not at rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from coda_core.commands import Command, Notice
from coda_core.interfaces import StepInput
from coda_moshi.injection import Words
from coda_moshi.onsets import Wish
from coda_moshi.slot_script import Directive, SlotScript

__all__ = ["Scripts", "given"]


class Scripts:
    """A script for each slot that holds a conversation."""

    def __init__(self, slots: int) -> None:
        self._scripts: dict[int, SlotScript] = {}
        self._awake: set[int] = set()
        self._speaking = np.zeros(slots, np.bool_)

    def open(self, slot: int, script: SlotScript, *, caller_speaking: bool = False) -> None:
        """Take the script of a conversation; `caller_speaking` is its caller in the step before."""
        self._scripts[slot] = script
        self._awake.add(slot)
        self._speaking[slot] = caller_speaking

    def close(self, slot: int) -> None:
        self._scripts.pop(slot, None)
        self._awake.discard(slot)

    def of(self, slot: int) -> tuple[SlotScript, bool]:
        """Return the script of a slot, and whether its caller spoke in the latest step."""
        return self._scripts[slot], bool(self._speaking[slot])

    def command(self, slot: int, command: Command, words: Words) -> None:
        self._scripts[slot].command(command, words, caller_speaking=bool(self._speaking[slot]))
        self._awake.add(slot)

    def before(self, batch: StepInput) -> dict[int, Directive]:
        """Return what slots of a step are told, as far as they are told anything."""
        told = {}
        if self._awake:
            for slot, speaking in zip(batch.slots.tolist(), batch.caller_speaking.tolist(), strict=True):
                if slot in self._awake:
                    was_speaking = bool(self._speaking[slot])
                    told[slot] = self._scripts[slot].before(speaking, was_speaking=was_speaking)
        self._speaking[batch.slots] = batch.caller_speaking
        return told

    def after(
        self, told: Mapping[int, Directive], wish: NDArray[np.float32]
    ) -> tuple[frozenset[int], Sequence[Notice]]:
        """Take note of a step: the `Wish` of every slot; return slots whose token was forced, and notices."""
        injected, notices = set(), []
        for slot in told:
            script = self._scripts[slot]
            marks = script.after(Wish(int(wish[slot])))
            if marks.injected:
                injected.add(slot)
            notices += [Notice(slot, number, status) for number, status in marks.changes]
            if script.at_rest:
                self._awake.discard(slot)
        return frozenset(injected), notices


def given(batch: StepInput, told: Mapping[int, Directive]) -> NDArray[np.float32]:
    """Return the PCM of a step, ``[n, frame_samples]``, with that of prompts in place of their callers'."""
    pcm = batch.pcm.copy()
    for row, slot in enumerate(batch.slots.tolist()):
        if slot in told and told[slot].prompting:
            voice = told[slot].voice
            pcm[row] = 0.0 if voice is None else voice
    return pcm
