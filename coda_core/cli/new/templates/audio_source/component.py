"""The audio source `example`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from coda_core import AudioFormat, Block, Context

from coda_example.register import ExampleConfig

_BLOCK_S = 0.1


class Example:
    """Beeps. Not live: where the streaming manager works in real time, the kernel paces what this yields."""

    format = AudioFormat(sample_rate_hz=48_000)
    live = False

    def __init__(self, config: ExampleConfig) -> None:
        self._config = config

    async def blocks(self) -> AsyncGenerator[Block, None]:
        """Yield a tenth of a second at a time, so that a long duration takes no memory."""
        config, rate = self._config, self.format.sample_rate_hz
        period, beep = round((config.beep_s + config.pause_s) * rate), round(config.beep_s * rate)
        peak = 10 ** (config.level_dbfs / 20)
        total = round(config.duration_s * rate)
        for start in range(0, total, round(_BLOCK_S * rate)):
            at = np.arange(start, min(start + round(_BLOCK_S * rate), total))
            tone = peak * np.sin(2 * np.pi * config.frequency_hz * at / rate)
            yield Block(np.where(at % period < beep, tone, 0.0).astype(np.float32), self.format)
            await asyncio.sleep(0)  # other work goes on between two blocks


@asynccontextmanager
async def open_example(config: ExampleConfig, context: Context) -> AsyncIterator[Example]:
    """What stands before `yield` opens, what stands after it closes."""
    context.logger.info("beeps of %g Hz", config.frequency_hz)
    yield Example(config)
