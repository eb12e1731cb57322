"""Counts of durations in logarithmic buckets: cheap to add to, small, and good for percentiles."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from coda_core.interfaces import Distribution

__all__ = ["Histogram", "HistogramBank"]

_SMALLEST_S: Final = 1e-6
_PER_DECADE: Final = 48
_BUCKETS: Final = 9 * _PER_DECADE
"""From a microsecond to 1,000 seconds; neighbouring buckets are 4.9 % apart."""
_TOGETHER: Final = 64


class HistogramBank:
    """`rows` histograms of seconds, one for each slot."""

    def __init__(self, rows: int) -> None:
        self._counts = np.zeros((rows, _BUCKETS), np.int64)
        self._sums = np.zeros(rows)
        self._maxima = np.zeros(rows)

    def add(self, rows: NDArray[np.int64], seconds: NDArray[np.float64]) -> None:
        """Add one value to each of `rows`; one that stands there twice gets two."""
        np.add.at(self._counts, (rows, _buckets(seconds)), 1)
        np.add.at(self._sums, rows, seconds)
        np.maximum.at(self._maxima, rows, seconds)

    def merge(self, row: int, seconds: NDArray[np.float64]) -> None:
        """Add all of `seconds` ``[n]`` to one row."""
        self._counts[row] += np.bincount(_buckets(seconds), minlength=_BUCKETS)
        self._sums[row] += seconds.sum()
        self._maxima[row] = max(self._maxima[row], float(seconds.max(initial=0.0)))

    def copy(self) -> HistogramBank:
        """Return one that holds the same."""
        other = HistogramBank(len(self._counts))
        other._counts[:], other._sums[:], other._maxima[:] = self._counts, self._sums, self._maxima
        return other

    def clear(self, row: int) -> None:
        self._counts[row] = 0
        self._sums[row] = 0
        self._maxima[row] = 0

    def distribution(self, row: int, *, minus_s: float = 0.0) -> Distribution:
        """Return where the row's values lie, each less `minus_s`; percentiles are exact to 2.5 % of the value."""
        counts = self._counts[row]
        total = int(counts.sum())
        if total == 0:
            return Distribution(count=0, mean=0.0, p50=0.0, p95=0.0, p99=0.0, maximum=0.0)
        cumulative = np.cumsum(counts)
        ranks = np.ceil(np.array([0.50, 0.95, 0.99]) * total)
        buckets = np.searchsorted(cumulative, ranks)
        middle = _SMALLEST_S * 10 ** ((buckets + 0.5) / _PER_DECADE)
        p50, p95, p99 = np.minimum(middle, self._maxima[row]) - minus_s
        return Distribution(
            count=total,
            mean=float(self._sums[row]) / total - minus_s,
            p50=float(p50),
            p95=float(p95),
            p99=float(p99),
            maximum=float(self._maxima[row]) - minus_s,
        )


class Histogram:
    """One histogram of seconds. Written on one thread; what is read on another may lack the latest values.

    Single values are kept and counted some dozens at a time: numpy's cost of a call is many times that of an append.
    """

    def __init__(self) -> None:
        self._bank = HistogramBank(1)
        self._waiting: list[float] = []

    def add(self, seconds: float) -> None:
        self._waiting.append(seconds)
        if len(self._waiting) >= _TOGETHER:
            waiting, self._waiting = self._waiting, []
            self.add_all(np.array(waiting))

    def add_all(self, seconds: NDArray[np.float64]) -> None:
        """Add values ``[n]``."""
        self._bank.merge(0, seconds)

    def distribution(self, *, minus_s: float = 0.0) -> Distribution:
        waiting = self._waiting.copy()
        if not waiting:
            return self._bank.distribution(0, minus_s=minus_s)
        bank = self._bank.copy()
        bank.merge(0, np.array(waiting))
        return bank.distribution(0, minus_s=minus_s)


def _buckets(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    clamped = np.maximum(seconds, _SMALLEST_S)
    return np.minimum((np.log10(clamped / _SMALLEST_S) * _PER_DECADE).astype(np.int64), _BUCKETS - 1)
