"""How much of the memory that a model may take is in use, and whether its limit is near.

A model takes its memory once: weights, and the state of every slot. What is in use afterwards can still grow: by parked
states, by what other components and other processes take, by an allocator that finds no gap of the right size. So
nearness to the limit is measured in what was left when the model had been loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import attrs
import psutil
import torch

from coda_core.memory import MemoryUse
from coda_moshi.host_memory import HostMemory, host_memory

__all__ = ["MemoryWatch", "Reading", "device_readings", "resident_bytes"]

_HABIT_BYTES: Final = 64 * 2**20
"""By how much a process on a CPU grows and shrinks without meaning anything."""
_RELIEF: Final = 0.05
"""Share of what was left by which use must fall below `pressure_at` again: no flicker around it."""


@attrs.frozen
class Reading:
    """One limit, and what is in use of it, in bytes."""

    where: str
    used: int
    limit: int
    slack: int = 0
    """Growth up to this is none."""


class MemoryWatch:
    """Reports the nearest of some limits. Made when the model has been loaded and has stepped.

    `read` returns the same limits in the same order each time; `pressure_at` is the share of what is left now that may
    be taken before it presses.
    """

    def __init__(self, read: Callable[[], Sequence[Reading]], pressure_at: float) -> None:
        self._read = read
        self._pressure_at = pressure_at
        self.begin()

    def begin(self) -> None:
        """Take what is in use now for what a model takes once."""
        self._start = [reading.used for reading in self._read()]
        self._pressing = False

    def look(self) -> MemoryUse:
        """Return the limit of which the largest share of what was left is taken, and whether that presses."""
        readings = self._read()
        taken = [_taken(reading, start) for reading, start in zip(readings, self._start, strict=True)]
        most = max(range(len(taken)), key=taken.__getitem__)
        self._pressing = taken[most] >= self._pressure_at - (_RELIEF if self._pressing else 0.0)
        nearest = readings[most]
        return MemoryUse(
            used_bytes=nearest.used, limit_bytes=nearest.limit, pressing=self._pressing, where=nearest.where
        )


def _taken(reading: Reading, start: int) -> float:
    return (reading.used - start) / max(reading.limit - start, reading.slack, 1)


def device_readings(device: torch.device, allowed: int | None, resident_before: int) -> Callable[[], list[Reading]]:
    """Return what reads the limits of a model on `device`.

    `allowed` is what its ``vram_allocation`` comes to, None where it has none; `resident_before` is what
    `resident_bytes` said before it was loaded.
    """

    def read() -> list[Reading]:
        readings = [_of_host(host_memory())]
        if device.type == "cuda":
            free, total = torch.cuda.mem_get_info(device)
            readings.append(Reading(f"on {device}", total - free, total))
            if allowed is not None:
                readings.append(Reading("that vram_allocation allows", torch.cuda.memory_reserved(device), allowed))
        elif allowed is not None:
            grown = resident_bytes() - resident_before
            readings.append(Reading("that vram_allocation allows", grown, allowed, _HABIT_BYTES))
        return readings

    return read


def _of_host(memory: HostMemory) -> Reading:
    return Reading("of this machine", memory.total - memory.free, memory.total, _HABIT_BYTES)


def resident_bytes() -> int:
    """Return the memory of this process."""
    return int(psutil.Process().memory_info().rss)
