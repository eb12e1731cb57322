"""How a piece of a blob is stored."""

from __future__ import annotations

from typing import Final

__all__ = ["padded", "unpadded"]

_PADDING: Final = bytes(4096)
"""What a stored piece begins with. SQLite keeps the first bytes of a long row among those of other rows, where copies
of them may stay behind; all others lie in pages of their own, which are overwritten when they are given back."""


def padded(content: bytes) -> bytes:
    """Return a piece as it is stored."""
    return _PADDING + content


def unpadded(stored: bytes) -> bytes:
    """Return the piece that was stored."""
    return stored[len(_PADDING) :]
