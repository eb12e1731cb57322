"""Processor `echo`: every caller hears themself, a set number of frames later.

It needs no model, so it checks everything around one: sound cards, networks, files and this installation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from coda_core.audio import FRAME_SAMPLES
from coda_core.clock import Clock
from coda_core.errors import ModelError
from coda_core.interfaces import Context, ProcessorInfo, SlotOptions, StepInput, StepOutput
from coda_core.text import Vocabulary
from coda_moshi.config import EchoConfig

__all__ = ["Echo", "open_echo"]

_WORDLESS: Final = Vocabulary(pieces=(b"", b""), word_starts=frozenset(), padding=1, end_of_padding=0)


class Echo:
    """Returns each slot's frames after `delay_frames` steps of that slot; says nothing in text.

    A slot is warming up (`StepOutput.valid` is False, silence) until the delay has passed.
    """

    def __init__(self, config: EchoConfig, clock: Clock) -> None:
        self.info = ProcessorInfo(
            slots=config.conversations,
            delay_frames=config.delay_frames,
            vocabulary=_WORDLESS,
            fingerprint=f"echo-{config.delay_frames}",
            capabilities=frozenset({"park"}),
        )
        self._clock = clock
        self._delay = config.delay_frames
        self.resize(config.conversations)

    def resize(self, slots: int) -> None:
        self.info = attrs.evolve(self.info, slots=slots)
        # A ring longer than the delay by the frame that is being heard, so that a delay of 0 is no special case.
        self._ring = np.zeros((slots, self._delay + 1, FRAME_SAMPLES), np.float32)
        self._steps = np.zeros(slots, np.int64)

    def open(self, slot: int, options: SlotOptions) -> None:
        self.close(slot)

    def step(self, batch: StepInput) -> StepOutput:
        began_s = self._clock.now()
        slots, length = batch.slots, self._ring.shape[1]
        steps = self._steps[slots]
        self._ring[slots, steps % length] = batch.pcm
        pcm = self._ring[slots, (steps - self._delay) % length]
        self._steps[slots] = steps + 1
        count = len(slots)
        return StepOutput(
            pcm=pcm,
            valid=steps >= self._delay,
            token=np.full(count, _WORDLESS.padding, np.int64),
            probability=np.ones(count, np.float32),
            failed=np.zeros(count, np.bool_),
            stage_s={"encode": 0.0, "model": self._clock.now() - began_s, "decode": 0.0},
        )

    def close(self, slot: int) -> None:
        self._ring[slot] = 0.0
        self._steps[slot] = 0

    def export(self, slot: int) -> Mapping[str, NDArray[Any]]:
        return {"ring": self._ring[slot].copy(), "steps": self._steps[slot : slot + 1].copy()}

    def restore(self, slot: int, options: SlotOptions, state: Mapping[str, NDArray[Any]]) -> None:
        found = {name: array.shape for name, array in state.items()}
        expected = {"ring": self._ring.shape[1:], "steps": (1,)}
        if found != expected:
            raise ModelError(f"a state with {found} cannot be gone on from; expected {expected}")
        self._ring[slot] = state["ring"]
        self._steps[slot] = state["steps"][0]


@contextmanager
def open_echo(config: EchoConfig, context: Context) -> Iterator[Echo]:
    """Make the processor; nothing has to be given back."""
    yield Echo(config, context.clock)
