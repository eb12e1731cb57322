"""The kind `audio_source`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from coda_core.audio import AudioFormat, Block

__all__ = ["AudioSource"]


class AudioSource(Protocol):
    """Yields the blocks that feed the local conversation. On L."""

    format: AudioFormat
    live: bool
    """True where blocks come at their own pace, as from a microphone; others are paced by the kernel where the
    streaming manager works in real time."""

    def blocks(self) -> AsyncGenerator[Block, None]:
        """Yield blocks until there are no more: an async generator, closed where the conversation ends earlier."""
