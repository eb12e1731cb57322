"""The suite of audio sources."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from coda_core.audio import AudioFormat, Block, to_float32
from coda_core.interfaces import AudioSource
from coda_core.testing.conformance.component import Conformance

__all__ = ["AudioSourceConformance"]


class AudioSourceConformance(Conformance):
    """What every `coda_core.interfaces.AudioSource` does."""

    blocks_read: ClassVar[int] = 20
    """How many blocks are looked at, where there are so many."""

    def test_format_is_known_before_anything_is_read(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.entered(tmp_path) as source:
                assert isinstance(source.format, AudioFormat)
                assert isinstance(source.live, bool)

        self.run(look())

    def test_blocks_are_audio_of_that_format(self, tmp_path: Path) -> None:
        async def look() -> list[Block]:
            async with self.entered(tmp_path) as source:
                format, blocks = source.format, await self._read(source)
                assert source.format == format, "the format may not change while blocks are read"
                assert all(block.format == format for block in blocks)
                return blocks

        blocks = self.run(look())
        assert blocks, "it yielded nothing; give it settings with which it has something to yield"
        for block in blocks:
            assert samples_of(block).size, "a block is never empty"

    def test_each_block_is_its_own(self, tmp_path: Path) -> None:
        """A block still holds its samples when later ones were read: a buffer may not be used again."""

        async def look() -> tuple[list[bytes], list[bytes]]:
            at_once: list[bytes] = []
            blocks: list[Block] = []
            async with self.entered(tmp_path) as source, aclosing(source.blocks()) as reading:
                async for block in reading:
                    at_once.append(samples_of(block).tobytes())
                    blocks.append(block)
                    if len(blocks) >= self.blocks_read:
                        break
            return at_once, [samples_of(block).tobytes() for block in blocks]

        at_once, later = self.run(look())
        assert at_once == later

    def test_may_be_left_at_any_block(self, tmp_path: Path) -> None:
        """A conversation ends when it ends: closing the generator releases everything."""

        async def leave(after: int) -> None:
            async with self.entered(tmp_path) as source, aclosing(source.blocks()) as reading:
                for _ in range(after):
                    if await anext(reading, None) is None:
                        break

        for after in range(4):
            self.run(leave(after))

    def test_may_be_cancelled_at_every_await(self, tmp_path: Path) -> None:
        async def read() -> None:
            async with self.entered(tmp_path) as source:
                await self._read(source)

        async def cancel_after(turns: int) -> None:
            reading = asyncio.create_task(read())
            for _ in range(turns):
                await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait([reading])
            assert reading.cancelled() or reading.exception() is None, "cancelled, it is to end by CancelledError"

        for turns in _turns():
            self.run(cancel_after(turns))

    def test_leaves_the_event_loop_free(self, tmp_path: Path) -> None:
        """Reading a file or a device is for another thread: other work goes on between two blocks."""

        async def look() -> int:
            turns = 0

            async def others() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            watching = asyncio.create_task(others())
            async with self.entered(tmp_path) as source:
                await self._read(source)
            watching.cancel()
            await asyncio.wait([watching])
            return turns

        assert self.run(look()) > 0, "nothing else could run while it yielded block after block: await somewhere"

    def test_live_source_keeps_real_time(self, tmp_path: Path) -> None:
        """A live source never hands over more audio than time has passed; what is not live is paced by the kernel."""

        async def look() -> None:
            loop = asyncio.get_running_loop()
            async with self.entered(tmp_path) as source:
                if not source.live:
                    return
                began, heard_s = loop.time(), 0.0
                async with aclosing(source.blocks()) as reading:
                    async for block in reading:
                        heard_s += len(samples_of(block)) / block.format.sample_rate_hz
                        # What a device had gathered when it was opened may come at once.
                        assert heard_s <= loop.time() - began + 1.0
                        if heard_s >= 1.0:
                            return

        self.run(look())

    async def _read(self, source: AudioSource) -> list[Block]:
        blocks: list[Block] = []
        async with aclosing(source.blocks()) as reading:
            async for block in reading:
                blocks.append(block)
                if len(blocks) >= self.blocks_read:
                    break
        return blocks


def samples_of(block: Block) -> NDArray[np.float32]:
    """Return a block's samples, ``[samples, channels]``; fails where it does not match its own format."""
    return to_float32(block.pcm, block.format)


def _turns() -> Iterator[int]:
    yield from range(8)
    yield from (12, 20, 40)
