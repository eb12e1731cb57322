"""The two ways that audio travels in a message: Ogg Opus, or plain 16-bit samples."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from coda_websocket.asked import Codec
from coda_websocket.opus import OpusPool, OpusStream
from coda_websocket.protocol import Malformed

__all__ = ["PcmVoice", "Voice", "open_voice"]


class Voice(Protocol):
    """Codes one connection's audio: mono at 24 kHz, float32 ``[samples]``, full scale 1.0."""

    async def encode(self, pcm: NDArray[np.float32]) -> bytes: ...

    async def decode(self, data: bytes) -> NDArray[np.float32]:
        """Raises `coda_websocket.opus.BadOpus` or `coda_websocket.protocol.Malformed`."""

    def close(self) -> None: ...


class PcmVoice:
    """16-bit little-endian samples."""

    async def encode(self, pcm: NDArray[np.float32]) -> bytes:
        samples: NDArray[np.int16] = np.clip(np.rint(pcm * 32768.0), -32768, 32767).astype("<i2")
        return samples.tobytes()

    async def decode(self, data: bytes) -> NDArray[np.float32]:
        if len(data) % 2:
            raise Malformed(f"{len(data)} bytes are no whole number of 16-bit samples")
        samples: NDArray[np.float32] = np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)
        return samples

    def close(self) -> None:
        """Nothing is held."""


async def open_voice(codec: Codec, pool: OpusPool) -> Voice:
    """Return what codes a connection's audio."""
    if codec == "pcm":
        return PcmVoice()
    stream: OpusStream = await pool.stream()
    return stream
