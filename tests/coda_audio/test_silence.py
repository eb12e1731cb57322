from __future__ import annotations

import asyncio
from contextlib import aclosing

import numpy as np
import pytest

from coda_audio.config import SilenceSourceConfig
from coda_audio.silence import open_silence
from coda_core.audio import AudioFormat, Block
from coda_core.interfaces import AudioSource, Context


async def _blocks(config: SilenceSourceConfig, context: Context, most: int) -> tuple[AudioFormat, list[Block]]:
    async with open_silence(config, context) as silence:
        source: AudioSource = silence
        assert not source.live
        found: list[Block] = []
        async with aclosing(source.blocks()) as blocks:
            async for block in blocks:
                found.append(block)
                if len(found) == most:
                    break
        return source.format, found


@pytest.mark.parametrize(("seconds", "samples"), [(0.0, 0), (0.1, 4800), (0.25, 12000), (1.00001, 48000)])
def test_lasts_as_long_as_asked(context: Context, seconds: float, samples: int) -> None:
    config = SilenceSourceConfig(sample_rate=48_000, channels=2, chunk_size=5000, duration_s=seconds)
    format, blocks = asyncio.run(_blocks(config, context, 1000))
    assert format == AudioFormat(48_000, 2)
    assert sum(len(block.pcm) for block in blocks) == samples
    assert all(isinstance(block.pcm, np.ndarray) and not block.pcm.any() for block in blocks)
    assert all(block.format == format for block in blocks)


def test_is_endless_without_a_duration(context: Context) -> None:
    _, blocks = asyncio.run(_blocks(SilenceSourceConfig(), context, 5000))
    assert [len(block.pcm) for block in blocks] == [1920] * 5000


def test_an_endless_source_leaves_the_event_loop_to_others(context: Context) -> None:
    async def read_and_be_stopped() -> int:
        async with open_silence(SilenceSourceConfig(), context) as silence:
            count = 0

            async def read() -> None:
                nonlocal count
                async for _ in silence.blocks():
                    count += 1

            reading = asyncio.create_task(read())
            for _ in range(10):
                await asyncio.sleep(0)
            reading.cancel()
            assert isinstance((await asyncio.gather(reading, return_exceptions=True))[0], asyncio.CancelledError)
            return count

    assert 1 <= asyncio.run(read_and_be_stopped()) <= 10
