"""Bytes in pieces of one length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

__all__ = ["recut"]


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
