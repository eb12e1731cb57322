"""Memory that a step gives back, and the next one asks for again, stays with the process.

A step on a CPU takes and frees the same tens of megabytes every time. Whether glibc returns them to the system in
between depends on what happens to lie behind them. Where it does, every step pays for thousands of page faults: a sixth
of a step of 64 conversations. So it is told to keep what is freed. That holds for the whole process, and for good, as
glibc does not tell what was set before.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any, Final

import torch

__all__ = ["give_back", "keep_heap"]

_TRIM_THRESHOLD: Final = -1
_TOP_PAD: Final = -2
_MMAP_THRESHOLD: Final = -3
"""Numbers of ``mallopt``, from glibc's ``malloc.h``."""
_KEPT_BYTES: Final = 2**30
_LARGEST_BYTES: Final = 32 * 2**20
"""What is larger is the system's in any case; glibc takes no more for this."""
_WHOLE_BYTES: Final = 64 * 2**20
"""Other threads than the main one have heaps of such pieces; an empty one is given up if the others have room."""
_CHOSEN_BY: Final = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
"""Variables with which whoever runs the process has chosen for themself."""


def keep_heap(device: torch.device) -> None:
    """Let freed memory stay with the process, where `device` is a CPU, glibc is there and nobody chose otherwise."""
    libc = _glibc()
    if device.type == "cpu" and libc is not None and not any(name in os.environ for name in _CHOSEN_BY):
        libc.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_TOP_PAD, _WHOLE_BYTES)
        libc.mallopt(_MMAP_THRESHOLD, _LARGEST_BYTES)


def give_back(device: torch.device) -> None:
    """Return what is free now to the system."""
    libc = _glibc()
    if device.type == "cpu" and libc is not None:
        libc.malloc_trim(0)


def _glibc() -> Any:
    """Return the C library where it is glibc, else None."""
    try:
        libc = ctypes.CDLL(None)
    except (OSError, TypeError):  # Windows has no such thing
        return None
    return libc if hasattr(libc, "gnu_get_libc_version") else None
