"""The processor `example`. All of it runs on the worker thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from coda_core import FRAME_S, FRAME_SAMPLES, Context, ModelError, SlotOptions, Vocabulary
from coda_core.interfaces import ProcessorInfo, StepInput, StepOutput
from numpy.typing import NDArray

from coda_example.register import ExampleConfig

_WORDLESS = Vocabulary(pieces=(b"", b""), word_starts=frozenset(), padding=1, end_of_padding=0)


class Example:
    """Each slot remembers what its caller said, and says it as soon as they are silent.

    What comes out of a slot depends on what went into it since `open`, and on nothing else.
    """

    def __init__(self, config: ExampleConfig, context: Context) -> None:
        self.info = ProcessorInfo(
            slots=config.conversations,
            delay_frames=0,
            vocabulary=_WORDLESS,
            fingerprint=f"example-{config.memory_s:g}",
            capabilities=frozenset({"park"}),
        )
        self._clock = context.clock
        self._frames = round(config.memory_s / FRAME_S)
        self._slots: dict[int, deque[NDArray[np.float32]]] = {}

    def open(self, slot: int, options: SlotOptions) -> None:
        # Bounded: of a caller who speaks for longer, the beginning is forgotten.
        self._slots[slot] = deque(maxlen=self._frames)

    def step(self, batch: StepInput) -> StepOutput:
        began_s, count = self._clock.now(), len(batch.slots)
        pcm = np.zeros((count, FRAME_SAMPLES), np.float32)
        for row, slot in enumerate(batch.slots.tolist()):
            remembered = self._slots[slot]
            if batch.caller_speaking[row]:
                remembered.append(batch.pcm[row].copy())  # the batch's arrays are valid during the call alone
            elif remembered:
                pcm[row] = remembered.popleft()
        return StepOutput(
            pcm=pcm,
            valid=np.ones(count, np.bool_),
            token=np.full(count, _WORDLESS.padding, np.int64),
            probability=np.ones(count, np.float32),
            failed=np.zeros(count, np.bool_),
            stage_s={"encode": 0.0, "model": self._clock.now() - began_s, "decode": 0.0},
        )

    def close(self, slot: int) -> None:
        self._slots.pop(slot, None)

    # For the capability "park"

    def export(self, slot: int) -> Mapping[str, NDArray[Any]]:
        frames = [frame.copy() for frame in self._slots[slot]]
        return {"remembered": np.array(frames, np.float32).reshape(-1, FRAME_SAMPLES)}

    def restore(self, slot: int, options: SlotOptions, state: Mapping[str, NDArray[Any]]) -> None:
        if set(state) != {"remembered"} or state["remembered"].shape[1:] != (FRAME_SAMPLES,):
            raise ModelError(f"a state of {sorted(state)} does not fit; expected 'remembered'")
        self.open(slot, options)
        self._slots[slot].extend(state["remembered"])


@contextmanager
def open_example(config: ExampleConfig, context: Context) -> Iterator[Example]:
    """A model would be loaded before `yield`, and given back after it."""
    yield Example(config, context)
