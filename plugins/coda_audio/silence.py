"""Audio source `silence`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import numpy as np

from coda_audio.config import SilenceSourceConfig
from coda_core.audio import AudioFormat, Block
from coda_core.interfaces import Context

__all__ = ["SilenceSource", "open_silence", "silent_blocks"]


class SilenceSource:
    """Yields blocks of silence for a set time, or without end."""

    live = False

    def __init__(self, config: SilenceSourceConfig) -> None:
        self.format = AudioFormat(config.sample_rate, config.channels)
        self._chunk_size = config.chunk_size
        self._samples = None if config.duration_s is None else round(config.duration_s * config.sample_rate)

    async def blocks(self) -> AsyncGenerator[Block, None]:
        async for block in silent_blocks(self.format, self._chunk_size, self._samples):
            yield block


async def silent_blocks(format: AudioFormat, chunk_size: int, samples: int | None) -> AsyncGenerator[Block, None]:
    """Yield `samples` samples per channel of silence in blocks of `chunk_size`, without end where None.

    All blocks share one read-only array.
    """
    silence = np.zeros((chunk_size, format.channels), np.float32)
    silence.flags.writeable = False
    done = 0
    while samples is None or done < samples:
        block = silence if samples is None else silence[: samples - done]
        done += len(block)
        yield Block(block, format)
        # Nothing here waits: without this, a reader that never waits either would hold the event loop for good.
        await asyncio.sleep(0)


@asynccontextmanager
async def open_silence(config: SilenceSourceConfig, context: Context) -> AsyncIterator[SilenceSource]:
    """Make the source; nothing has to be given back."""
    yield SilenceSource(config)
