"""A ring of samples between one thread that writes and one that reads, without a lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Ring"]


class Ring:
    """Mono float32 samples, first in, first out. Nothing here waits or allocates.

    Each counter has one writer: `_written` and `_skip_to` the writing thread, `_taken` the reading one. A counter is
    moved on after its samples are in place, so whoever reads it finds them there.
    """

    def __init__(self, capacity: int) -> None:
        self._samples: NDArray[np.float32] = np.zeros(capacity, np.float32)
        self._written = 0
        self._taken = 0
        self._skip_to = 0

    @property
    def filled(self) -> int:
        """Samples that wait to be read."""
        return self._written - max(self._taken, self._skip_to)

    def write(self, samples: NDArray[np.float32]) -> int:
        """Append as many of `samples` as there is room for, and return their number. On the writing thread."""
        count = min(len(samples), len(self._samples) - (self._written - self._taken))
        start = self._written % len(self._samples)
        first = min(count, len(self._samples) - start)
        self._samples[start : start + first] = samples[:first]
        self._samples[: count - first] = samples[first:count]
        self._written += count
        return count

    def keep_newest(self, count: int) -> int:
        """Give up all that waits but the newest `count` samples; return how many. On the writing thread."""
        lost = max(0, self.filled - count)
        if lost:
            self._skip_to = self._written - count
        return lost

    def read(self, into: NDArray[np.float32]) -> tuple[int, bool]:
        """Fill the beginning of `into`; return how many samples, and whether some before them were given up.

        On the reading thread.
        """
        start = max(self._taken, self._skip_to)
        skipped = start != self._taken
        count = min(len(into), self._written - start)
        at = start % len(self._samples)
        first = min(count, len(self._samples) - at)
        into[:first] = self._samples[at : at + first]
        into[first:count] = self._samples[: count - first]
        self._taken = start + count
        return count, skipped
