"""Opus in Ogg, as far as one live stream needs it: RFC 3533 and RFC 7845."""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Sequence
from typing import Final

__all__ = ["OggOpus"]

_CLOCK_HZ: Final = 48_000
"""Positions in a stream of Opus are counted at this rate, whatever the sound's."""
_VENDOR: Final = b"coda"
_SERIAL: Final = 1
_FIRST: Final = 2
_LACING: Final = 255
_MOST_SEGMENTS: Final = 255
_CRC_AT: Final = 22
_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class OggOpus:
    """The pages of one stream."""

    def __init__(self, rate_hz: int, pre_skip_samples: int) -> None:
        """`pre_skip_samples`, at `rate_hz`, are what the encoder's first output is to be thrown away of."""
        self._rate_hz = rate_hz
        self._numbers = itertools.count()
        self._samples = 0
        skip = pre_skip_samples * _CLOCK_HZ // rate_hz
        self._head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, skip, rate_hz, 0, 0)

    def head(self) -> bytes:
        """Return the two pages that a stream begins with."""
        tags = b"OpusTags" + struct.pack("<I", len(_VENDOR)) + _VENDOR + struct.pack("<I", 0)
        return self._page([self._head], _FIRST) + self._page([tags])

    def page(self, packets: Sequence[bytes], samples: int) -> bytes:
        """Return a page of packets of Opus that hold `samples` in all; ValueError where they are too many for one."""
        self._samples += samples
        return self._page(packets)

    def _page(self, packets: Sequence[bytes], flags: int = 0) -> bytes:
        lacing = b"".join(b"\xff" * (len(each) // _LACING) + bytes((len(each) % _LACING,)) for each in packets)
        if len(lacing) > _MOST_SEGMENTS:
            raise ValueError(f"{sum(map(len, packets))} bytes are too much for a page")
        position = self._samples * _CLOCK_HZ // self._rate_hz
        page = bytearray(struct.pack("<4sBBqIIIB", b"OggS", 0, flags, position, _SERIAL, next(self._numbers), 0, 0))
        page[-1] = len(lacing)
        page += lacing + b"".join(packets)
        page[_CRC_AT : _CRC_AT + 4] = _crc(page)
        return bytes(page)


def _crc(page: bytes | bytearray) -> bytes:
    """Return Ogg's checksum: zlib's polynomial with the bits the other way round, from 0, and not inverted."""
    mirrored = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return mirrored.to_bytes(4, "big").translate(_REVERSED)
