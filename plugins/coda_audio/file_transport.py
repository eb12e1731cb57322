"""Transport `file`: records the local conversation."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from coda_audio.config import FileTransportConfig
from coda_audio.recording import Recording
from coda_core.audio import AudioFrame
from coda_core.errors import CodaError
from coda_core.interfaces import Context

if TYPE_CHECKING:
    from coda_core.kernel import Kernel

__all__ = ["FileTransport", "open_file_transport"]

_BATCH_FRAMES: Final = 12
"""Frames written at once: about a second, so that a thread is woken once a second and not 12.5 times."""
_WAITING_FRAMES: Final = 1024
"""Frames that may wait for a slow disk: more than a minute."""


class FileTransport:
    """Records the local conversation until it ends or this is cancelled; then the files have their names."""

    def __init__(self, recording: Recording, thread: ThreadPoolExecutor, logger: logging.Logger) -> None:
        self._recording = recording
        self._thread = thread
        self._logger = logger

    async def run(self, kernel: Kernel, ready: Callable[[], None]) -> None:
        conversation = await kernel.local()
        async with conversation.subscribe(AudioFrame, size=_WAITING_FRAMES, overflow="drop-oldest") as frames:
            ready()
            batch: list[AudioFrame] = []
            try:
                async for frame in frames:
                    batch.append(frame)
                    if len(batch) >= _BATCH_FRAMES:
                        full, batch = batch, []
                        await self._on_thread(self._recording.write, full)
            except asyncio.CancelledError:
                # What was said until now belongs into the files.
                frames.end()
                with suppress(CodaError):
                    batch += [frame async for frame in frames]
                raise
            finally:
                if frames.dropped:
                    self._logger.warning("the disk was too slow: %d frames are silence in the files", frames.dropped)
                try:
                    await self._on_thread(self._recording.write, batch)
                finally:
                    await self._on_thread(self._recording.finish)

    async def _on_thread(self, work: Callable[..., None], *arguments: Any) -> None:
        # Shielded, because cancelled work that has not begun would leave a hole in the recording.
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments))


@asynccontextmanager
async def open_file_transport(config: FileTransportConfig, context: Context) -> AsyncIterator[FileTransport]:
    """Begin the files under temporary names; raises `AudioError` where they could not be written.

    A file gets its name when the conversation has ended. Where nothing was recorded there is none, and one that
    was there before stays as it is.
    """
    recording = Recording(config, context)
    # One thread: whatever is given up by the caller, the files are finished or removed behind the last write.
    with ThreadPoolExecutor(1, thread_name_prefix="coda-file-transport") as thread:
        try:
            await asyncio.get_running_loop().run_in_executor(thread, recording.open)
            yield FileTransport(recording, thread, context.logger)
        finally:
            thread.submit(recording.discard)
