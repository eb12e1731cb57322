"""Bytes cut into pieces of one length, and how such a piece is stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

__all__ = ["padded", "recut", "unpadded"]

_PADDING: Final = bytes(4096)
"""What a stored piece begins with. SQLite keeps the first bytes of a long row among those of other rows, where copies
of them may stay behind; all others lie in pages of their own, which are overwritten when they are given back."""


def padded(content: bytes) -> bytes:
    """Return a piece as it is stored."""
    return _PADDING + content


def unpadded(stored: bytes) -> bytes:
    """Return the piece that was stored."""
    return stored[len(_PADDING) :]


def recut(chunks: Iterable[bytes], length: int) -> Iterator[bytes]:
    """Yield the bytes of `chunks` in pieces of `length`, the last one shorter where they do not come out even."""
    held = bytearray()
    for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            taken = rest[: length - len(held)]
            held += taken
            rest = rest[len(taken) :]
            if len(held) == length:
                yield bytes(held)
                held.clear()
    if held:
        yield bytes(held)
