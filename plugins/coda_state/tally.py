"""Whole numbers counted by value: small, exact, and easy to store."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import attrs

from coda_core.state import Spread

__all__ = ["Tally"]


@attrs.define
class Tally:
    """How often each whole number was seen; what lies outside of the bounds counts as the nearest one inside."""

    lowest: int
    highest: int
    counts: dict[int, int] = attrs.field(factory=dict)
    count: int = 0

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """Return the tally whose fields went through JSON, which makes text of all keys."""
        counts = {int(value): times for value, times in fields["counts"].items()}
        return cls(fields["lowest"], fields["highest"], counts, fields["count"])

    def add(self, value: int) -> None:
        if not self.lowest <= value <= self.highest:
            value = min(max(value, self.lowest), self.highest)
        self.counts[value] = self.counts.get(value, 0) + 1
        self.count += 1

    def spread(self, unit: float = 1.0) -> Spread:
        """Return where the numbers lay, each times `unit`."""
        if not self.count:
            return Spread()
        seen = sorted(self.counts.items())
        mean = sum(value * times for value, times in seen) / self.count
        variance = sum((value - mean) ** 2 * times for value, times in seen) / self.count
        return Spread(
            count=self.count,
            mean=mean * unit,
            deviation=math.sqrt(variance) * unit,
            p50=_rank(seen, math.ceil(0.50 * self.count)) * unit,
            p95=_rank(seen, math.ceil(0.95 * self.count)) * unit,
            maximum=seen[-1][0] * unit,
        )


def _rank(seen: Sequence[tuple[int, int]], wanted: int) -> int:
    """Return the smallest number that at least `wanted` of all do not exceed."""
    found = 0
    for value, times in seen:
        found += times
        if found >= wanted:
            return value
    raise ValueError(f"there are not {wanted} numbers")
