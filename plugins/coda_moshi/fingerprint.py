"""A name for what a checkpoint computes: equal fingerprints, equal models."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

__all__ = ["fingerprint"]

WHOLE_BYTES: Final = 64 * 2**20
"""Files up to this size are hashed whole."""
_SAMPLES: Final = 1024
_SAMPLE_BYTES: Final = 16 * 2**10


def fingerprint(files: Iterable[Path], facts: Iterable[str]) -> str:
    """Return a SHA-256 over the content of `files`, in order, and over `facts`, as 32 hexadecimal digits.

    Of a file above 64 MiB it covers the size and 1,024 blocks of 16 KiB spread evenly from its first byte to its last:
    16 MiB, read in a moment where the whole is many gigabytes. Training moves nearly every weight, so this tells
    checkpoints apart; it does not notice a change to a few chosen bytes, and is no protection against one.
    """
    whole = hashlib.sha256()
    for fact in facts:
        whole.update(hashlib.sha256(fact.encode()).digest())
    for path in files:
        whole.update(_content(path))
    return whole.hexdigest()[:32]


def _content(path: Path) -> bytes:
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        if size <= WHOLE_BYTES:
            digest.update(file.read())
        else:
            for sample in range(_SAMPLES):
                file.seek(sample * (size - _SAMPLE_BYTES) // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.digest()
