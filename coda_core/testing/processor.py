"""A processor without a model, for tests of what surrounds one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from coda_core.commands import Command, Notice
from coda_core.errors import ModelError
from coda_core.interfaces import Capability, ProcessorInfo, SlotOptions, StepInput, StepOutput
from coda_core.testing.script import ScriptedSlot
from coda_core.text import Vocabulary

__all__ = ["ScriptedProcessor"]

_VOCABULARY = Vocabulary(
    pieces=(b"", b"hello", b"world", b"", b"!"), word_starts=frozenset({1, 2}), padding=3, end_of_padding=0
)
_EVERYTHING: Final[frozenset[Capability]] = frozenset({"say", "interrupt", "prompt", "park"})


class ScriptedProcessor:
    """Answers each frame with a function of that slot's own history, and does what a test tells it to.

    Moshi's audio is the caller's, scaled by -1; the token of a slot's step k is ``script[k % len(script)]``. It can do
    everything that a processor can: each word of a `Say` takes the place of one token, a prompt takes one step for
    each of its words, and whoever is told to be silent gives padding and silence.
    """

    def __init__(
        self,
        slots: int = 4,
        *,
        delay_frames: int = 0,
        script: tuple[int, ...] = (1, 3, 2, 3),
        capabilities: frozenset[Capability] = _EVERYTHING,
    ) -> None:
        self.info = ProcessorInfo(
            slots=slots,
            delay_frames=delay_frames,
            vocabulary=_VOCABULARY,
            fingerprint=f"scripted-{script}",
            capabilities=capabilities,
        )
        self.script = script
        self.on_step: Callable[[StepInput], None] = lambda _: None
        """Called at the start of every step: moves a clock, waits, or raises."""
        self.poisoned: set[int] = set()
        """Slots that fail at the next step."""
        self.opened: dict[int, SlotOptions] = {}
        self.batches: list[tuple[int, ...]] = []
        """The slots of every step so far."""
        self.commands: list[tuple[int, Command]] = []
        """Every command so far, with its slot."""
        self._slots = [ScriptedSlot(_VOCABULARY) for _ in range(slots)]

    def open(self, slot: int, options: SlotOptions) -> int | None:
        self._take(slot, options)
        state = self._slots[slot] = ScriptedSlot(_VOCABULARY, silent=options.greeting is False)
        state.prompt = len((options.prompt or "").split())
        return state.prompt or None

    def step(self, batch: StepInput) -> StepOutput:
        unknown = set(batch.slots.tolist()) - set(self.opened)
        if unknown or np.any(np.diff(batch.slots) <= 0):
            raise AssertionError(f"a step of {batch.slots.tolist()} with open slots {sorted(self.opened)}")
        self.on_step(batch)
        self.batches.append(tuple(batch.slots.tolist()))
        count = len(batch.slots)
        pcm, valid = -batch.pcm, np.zeros(count, np.bool_)
        token, injected = np.zeros(count, np.int64), np.zeros(count, np.bool_)
        notices: list[Notice] = []
        for row, (slot, speaking) in enumerate(zip(batch.slots.tolist(), batch.caller_speaking.tolist(), strict=True)):
            state = self._slots[slot]
            token[row], injected[row] = state.step(self.script, speaking)
            valid[row] = state.steps > self.info.delay_frames
            if state.quiet or not valid[row]:
                pcm[row] = 0
            notices += [Notice(slot, command, status) for command, status in state.take_notices()]
        failed = np.array([slot in self.poisoned for slot in batch.slots.tolist()])
        self.poisoned.clear()
        return StepOutput(
            pcm=pcm,
            valid=valid,
            token=token,
            probability=np.full(count, 0.5, np.float32),
            failed=failed,
            stage_s={"encode": 0.001, "model": 0.002, "decode": 0.001},
            injected=injected if injected.any() else None,
            notices=notices,
        )

    def close(self, slot: int) -> None:
        self.opened.pop(slot, None)
        self._slots[slot] = ScriptedSlot(_VOCABULARY)

    def resize(self, slots: int) -> None:
        if self.opened:
            raise AssertionError(f"the batch is resized with open slots {sorted(self.opened)}")
        self.info = attrs.evolve(self.info, slots=slots)
        self._slots = [ScriptedSlot(_VOCABULARY) for _ in range(slots)]

    def command(self, slot: int, command: Command) -> None:
        self.commands.append((slot, command))
        self._slots[slot].command(command)

    def export(self, slot: int) -> Mapping[str, NDArray[Any]]:
        if slot not in self.opened:
            raise AssertionError(f"slot {slot} is exported and not open")
        return {"history": np.frombuffer(json.dumps(self._slots[slot].export()).encode(), np.uint8).copy()}

    def restore(self, slot: int, options: SlotOptions, state: Mapping[str, NDArray[Any]]) -> None:
        if set(state) != {"history"}:
            raise ModelError(f"a state of {sorted(state)} does not fit; expected 'history'")
        self._take(slot, options)
        self._slots[slot] = ScriptedSlot.restored(_VOCABULARY, json.loads(state["history"].tobytes()))

    def _take(self, slot: int, options: SlotOptions) -> None:
        if slot in self.opened:
            raise AssertionError(f"slot {slot} is opened twice")
        self.opened[slot] = options
