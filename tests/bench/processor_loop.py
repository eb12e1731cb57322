"""The Moshi client's processor alone, in a plain loop: what is left of Coda without kernel, queues and threads."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from coda_core.clock import SystemClock
from coda_core.interfaces import Context, SlotOptions, StepInput
from coda_moshi.config import MoshiConfig
from coda_moshi.lifecycle import open_moshi
from coda_moshi.processor import MoshiProcessor

__all__ = ["ProcessorLoop", "processor_loop"]


@attrs.frozen
class ProcessorLoop:
    """A processor of which all slots step together."""

    processor: MoshiProcessor

    def open(self) -> None:
        for slot in range(self.processor.info.slots):
            self.processor.open(slot, SlotOptions())

    def close(self) -> None:
        for slot in range(self.processor.info.slots):
            self.processor.close(slot)

    def run(self, pcm: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Step frames ``[batch, steps, 1920]``; return text tokens ``[batch, steps]`` and PCM as it came in."""
        everyone = np.arange(len(pcm))
        silent = np.zeros(len(pcm), np.bool_)
        outputs = [
            self.processor.step(StepInput(slots=everyone, pcm=frames, caller_speaking=silent))
            for frames in pcm.swapaxes(0, 1)
        ]
        text = np.stack([output.token for output in outputs], axis=1)
        return text, np.stack([output.pcm for output in outputs], axis=1)


@contextmanager
def processor_loop(folder: Path, batch: int, **settings: Any) -> Iterator[ProcessorLoop]:
    """Open the processor on a checkpoint folder, with settings of `MoshiConfig`."""
    config = MoshiConfig(model_path=str(folder), conversations=batch, device="cpu", **settings)
    with tempfile.TemporaryDirectory() as cache:
        context = Context(
            base_dir=folder,
            cache_dir=Path(cache),
            clock=SystemClock(),
            logger=logging.getLogger("coda.bench"),
            progress=lambda what, done, total: None,
        )
        with open_moshi(config, context) as processor:
            yield ProcessorLoop(processor)
