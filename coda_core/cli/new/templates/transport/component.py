"""The transport `example`. It runs on the event loop, which it must not block: the file is written on a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TextIO

from coda_core import Context, ConversationError, ExtractedText, Kernel

from coda_example.register import ExampleConfig


class Example:
    """Writes until the local conversation ends, or until cancelled."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    async def run(self, kernel: Kernel, ready: Callable[[], None]) -> None:
        conversation = await kernel.local()
        async with conversation.subscribe(ExtractedText) as words:
            ready()  # the audio source starts when every transport has said so
            async for word in words:
                await asyncio.to_thread(self._write, word)

    def _write(self, word: ExtractedText) -> None:
        self._file.write(f"{word.start_s:9.2f} {word.end_s:9.2f}  {word.speaker}: {word.text}\n")
        self._file.flush()


@asynccontextmanager
async def open_example(config: ExampleConfig, context: Context) -> AsyncIterator[Example]:
    """Begin the file; raises a `CodaError`, which is shown as one line, where it cannot be written."""
    try:
        file = config.path.open("w", encoding="utf-8")
    except OSError as error:
        raise ConversationError(f"{config.path} cannot be written: {error.strerror}") from error
    with file:
        yield Example(file)
