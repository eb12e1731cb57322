from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
from coda_core import FRAME_SAMPLES, ExtractedText, Kernel
from coda_core.testing.conformance import MonologueExtractorConformance

from coda_example.register import ExampleConfig, coda_register_monologue_extractors


class TestContract(MonologueExtractorConformance):
    component = coda_register_monologue_extractors()[0]


def test_reports_the_words_that_it_listens_for(coda_kernel: Callable[..., Kernel]) -> None:
    """`coda_kernel` is a fixture that comes with Coda: its processor says "hello", "world", "hello", "world"..."""

    async def talk() -> list[str]:
        async with coda_kernel(monologue_extractor=[ExampleConfig(words=("WORLD",))]) as kernel:
            async with kernel.open_conversation() as conversation:
                words = conversation.subscribe(ExtractedText)
                await conversation.send(np.zeros(8 * FRAME_SAMPLES, np.float32))
                await conversation.drain()
            return [word.text async for word in words]

    assert asyncio.run(talk()) == ["world", "world"]
