"""Coding in other processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from coda_core import CodaError
from coda_websocket.opus import BadOpus, OpusPool

FRAME = 1_920


def tone(frames: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return (0.3 * np.sin(np.arange(frames * FRAME) / 20)).astype(np.float32)


async def test_streams_are_coded_side_by_side_and_keep_their_length() -> None:
    async with OpusPool(2) as pool:
        streams = [await pool.stream() for _ in range(4)]

        async def there_and_back(number: int) -> int:
            samples = 0
            for start in range(0, 10 * FRAME, FRAME):
                data = await streams[number].encode(tone(10)[start : start + FRAME])
                for cut in range(0, len(data), 50):
                    samples += len(await streams[number].decode(data[cut : cut + 50]))
            return samples

        assert await asyncio.gather(*(there_and_back(number) for number in range(4))) == [10 * FRAME] * 4


async def test_what_is_no_opus_is_said_and_harms_no_other_stream() -> None:
    async with OpusPool(1) as pool:
        good, bad = await pool.stream(), await pool.stream()
        with pytest.raises(BadOpus):
            await bad.decode(b"nonsense" * 20)
        bad.close()
        bad.close()
        assert len(await good.decode(await good.encode(tone(1)))) == FRAME


async def test_a_process_that_dies_fails_its_streams_and_is_replaced(
    until: Callable[[Callable[[], bool]], Any],
) -> None:
    async with OpusPool(1) as pool:
        stream = await pool.stream()
        await stream.encode(tone(1))
        worker = stream._worker
        worker._process.kill()
        await until(lambda: worker.dead)
        with pytest.raises(CodaError, match="has ended"):
            await stream.encode(tone(1))
        again = await pool.stream()
        assert await again.encode(tone(1))


async def test_how_long_it_took_is_told() -> None:
    told: list[str] = []
    async with OpusPool(1, timed=lambda what, seconds: told.append(what) if seconds > 0 else None) as pool:
        stream = await pool.stream()
        await stream.decode(await stream.encode(tone(1)))
    assert told == ["encode", "decode"]
