from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from coda_core import FRAME_SAMPLES, AudioFrame, Kernel
from coda_core.testing.conformance import ProcessorConformance

from coda_example.register import ExampleConfig, coda_register_processors


class TestContract(ProcessorConformance):
    component = coda_register_processors()[0]
    settings: ClassVar = {"conversations": 3}


def test_says_what_it_heard_once_the_caller_is_silent(coda_kernel: Callable[..., Kernel]) -> None:
    """`coda_kernel` is a fixture that comes with Coda: a kernel, here around this processor."""
    speech = np.random.default_rng(1).uniform(-0.3, 0.3, 5 * FRAME_SAMPLES).astype(np.float32)

    async def talk() -> list[Any]:
        async with coda_kernel(processor=ExampleConfig()) as kernel, kernel.open_conversation() as conversation:
            frames = conversation.subscribe(AudioFrame)
            await conversation.send(speech)
            await conversation.send(np.zeros(15 * FRAME_SAMPLES, np.float32))
            await conversation.drain()
            return [await anext(frames) for _ in range(20)]

    frames = asyncio.run(talk())
    said = np.concatenate([frame.pcm for frame in frames])
    start = int(np.flatnonzero(said)[0]) // FRAME_SAMPLES * FRAME_SAMPLES
    assert not said[: 5 * FRAME_SAMPLES].any()
    np.testing.assert_allclose(said[start : start + len(speech)], speech, atol=1e-6)
