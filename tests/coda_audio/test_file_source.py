from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from coda_audio.config import FileSourceConfig
from coda_audio.file_source import open_file_source
from coda_core.audio import AudioFormat, to_float32
from coda_core.errors import AudioError
from coda_core.interfaces import AudioSource, Context


def _noise(samples: int, channels: int = 2) -> NDArray[np.float32]:
    return np.random.default_rng(0).uniform(-1, 1, (samples, channels)).astype(np.float32)


async def _collect(source: AudioSource) -> list[NDArray[np.float32]]:
    async with aclosing(source.blocks()) as blocks:
        return [to_float32(block.pcm, block.format) async for block in blocks]


def test_yields_the_file_then_the_silence_that_was_asked_for(tmp_path: Path, context: Context) -> None:
    noise = _noise(10_000)
    soundfile.write(tmp_path / "a.wav", noise, 44_100, subtype="FLOAT")

    async def run() -> None:
        config = FileSourceConfig(path=Path("a.wav"), chunk_size=3000, trailing_silence_s=0.1)
        async with open_file_source(config, context) as source:
            assert source.format == AudioFormat(44_100, 2)
            assert not source.live
            blocks = await _collect(source)
            assert [len(block) for block in blocks] == [3000, 3000, 3000, 1000, 3000, 1410]
            heard = np.concatenate(blocks)
            assert np.array_equal(heard[:10_000], noise)
            assert not heard[10_000:].any()
            assert np.array_equal(np.concatenate(await _collect(source)), heard)

    asyncio.run(run())


def test_an_absolute_path_stays(tmp_path: Path, context: Context) -> None:
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "elsewhere" / "a.flac"
    soundfile.write(path, _noise(100), 24_000)

    async def run() -> int:
        async with open_file_source(FileSourceConfig(path=path), context) as source:
            return sum(len(block) for block in await _collect(source))

    assert asyncio.run(run()) == 100


def test_bad_files_are_refused_before_anything_runs(tmp_path: Path, context: Context) -> None:
    async def run() -> None:
        async with open_file_source(FileSourceConfig(path=Path("gone.wav")), context):
            raise AssertionError("entered")

    with pytest.raises(AudioError, match=r"gone\.wav does not exist"):
        asyncio.run(run())


def test_the_file_is_closed_behind_a_read_that_was_cancelled(tmp_path: Path, context: Context) -> None:
    soundfile.write(tmp_path / "a.flac", _noise(200_000), 24_000)

    async def run() -> None:
        config = FileSourceConfig(path=Path("a.flac"), chunk_size=100_000)
        async with open_file_source(config, context) as source:
            reading = asyncio.create_task(_collect(source))
            for _ in range(3):
                await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait([reading])
            assert reading.cancelled()

    asyncio.run(run())


def test_the_event_loop_goes_on_while_the_file_is_read(tmp_path: Path, context: Context) -> None:
    soundfile.write(tmp_path / "a.flac", _noise(500_000), 24_000)

    async def run() -> int:
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count_turns())
        config = FileSourceConfig(path=Path("a.flac"), chunk_size=500_000)
        async with open_file_source(config, context) as source:
            await _collect(source)
        counting.cancel()
        return turns

    assert asyncio.run(run()) > 100
