from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from coda_core import AudioFrame, Kernel
from coda_core.testing.conformance import AudioSourceConformance

from coda_example.register import ExampleConfig, coda_register_audio_sources


class TestContract(AudioSourceConformance):
    component = coda_register_audio_sources()[0]
    settings: ClassVar = {"duration_s": 1.0}


def test_a_conversation_hears_the_beeps(coda_kernel: Callable[..., Kernel]) -> None:
    """`coda_kernel` is a fixture that comes with Coda: a kernel around a processor without a model."""

    async def listen() -> list[Any]:
        config = ExampleConfig(beep_s=0.4, pause_s=0.4, duration_s=1.6)
        async with coda_kernel(audio_source=config) as kernel:
            conversation = await kernel.local()
            frames = conversation.subscribe(AudioFrame)
            await kernel.serve()
            return [frame async for frame in frames]

    frames = asyncio.run(listen())
    levels = [float(np.abs(frame.heard).max()) for frame in frames]
    assert len(frames) == 20
    assert [level > 0.1 for level in levels[:5]] == [True] * 5
    assert max(levels[6:9]) < 0.01
