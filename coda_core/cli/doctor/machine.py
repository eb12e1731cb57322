"""Processor cores and memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

import psutil

from coda_core.cli.doctor.finding import Finding

__all__ = ["machine"]

_ENOUGH_BYTES: Final = 2 * 10**9
"""What torch and the checkpoint ``demo`` take together, with some room."""


def machine() -> Iterator[Finding]:
    """Yield what this process may use."""
    # Not every platform says which cores a process may use.
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    if cores >= 2:
        yield Finding("ok", "cores", str(cores))
    else:
        yield Finding("warn", "cores", "1", "Real time wants a second core beside the one that the model keeps busy.")
    memory = psutil.virtual_memory()
    found = f"{memory.total / 1e9:.1f} GB, {memory.available / 1e9:.1f} GB free"
    if memory.available >= _ENOUGH_BYTES:
        yield Finding("ok", "memory", found)
    else:
        yield Finding("warn", "memory", found, "A model wants 2 GB at the least: end other programs.")
