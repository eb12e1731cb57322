from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from coda_core import FRAME_SAMPLES, AudioFrame, ExtractedText, Kernel
from coda_core.testing.conformance import StreamingManagerConformance

from coda_example.register import ExampleConfig, coda_register_streaming_managers


class TestContract(StreamingManagerConformance):
    component = coda_register_streaming_managers()[0]
    settings: ClassVar = {"buffer_frames": 20}


def test_carries_whole_conversations(coda_kernel: Callable[..., Kernel]) -> None:
    """`coda_kernel` is a fixture that comes with Coda: a kernel, here with this manager."""
    speech = np.random.default_rng(1).uniform(-0.3, 0.3, 10 * FRAME_SAMPLES).astype(np.float32)

    async def talk(kernel: Kernel) -> list[Any]:
        async with kernel.open_conversation() as conversation:
            frames, words = conversation.subscribe(AudioFrame), conversation.subscribe(ExtractedText)
            await conversation.send(speech)
            await conversation.drain()
        return [[frame async for frame in frames], [word.text async for word in words]]

    async def both() -> list[Any]:
        async with coda_kernel(streaming_manager=ExampleConfig()) as kernel:
            return [*await asyncio.gather(talk(kernel), talk(kernel))]

    for frames, words in asyncio.run(both()):
        np.testing.assert_allclose(np.concatenate([frame.pcm for frame in frames]), -speech, atol=1e-6)
        assert words[:2] == ["hello", "world"]
