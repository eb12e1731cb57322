"""Audio source `file`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager

from coda_audio.audio_file import AudioFile
from coda_audio.config import FileSourceConfig
from coda_audio.silence import silent_blocks
from coda_core.audio import Block
from coda_core.interfaces import Context

__all__ = ["FileSource", "open_file_source"]


class FileSource:
    """Yields an audio file in blocks, then the silence that was asked for. Reads on a thread of its own."""

    live = False

    def __init__(self, file: AudioFile, thread: ThreadPoolExecutor, config: FileSourceConfig) -> None:
        self.format = file.format
        self._file = file
        self._thread = thread
        self._chunk_size = config.chunk_size
        self._trailing_samples = round(config.trailing_silence_s * file.format.sample_rate_hz)

    async def blocks(self) -> AsyncGenerator[Block, None]:
        """Yield the file from its beginning, each time this is called."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._file.rewind)
        while len(pcm := await loop.run_in_executor(self._thread, self._file.read, self._chunk_size)):
            yield Block(pcm, self.format)
        async with aclosing(silent_blocks(self.format, self._chunk_size, self._trailing_samples)) as silence:
            async for block in silence:
                yield block


@asynccontextmanager
async def open_file_source(config: FileSourceConfig, context: Context) -> AsyncIterator[FileSource]:
    """Open the file; raises `AudioError` where it cannot be read as audio. Closes it on leaving."""
    loop = asyncio.get_running_loop()
    # One thread, so that the file is never closed under a read that was given up.
    with ThreadPoolExecutor(1, thread_name_prefix="coda-file-source") as thread:
        path = context.base_dir / config.path
        file = await loop.run_in_executor(thread, AudioFile, path, context.logger)
        try:
            yield FileSource(file, thread, config)
        finally:
            thread.submit(file.close)
