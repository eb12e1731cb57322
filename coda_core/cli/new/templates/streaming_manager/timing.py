"""How long things took."""

from __future__ import annotations

from collections import deque

import numpy as np
from coda_core.interfaces import Distribution


class Times:
    """The last thousand durations of one thing, in seconds."""

    def __init__(self) -> None:
        self._count = 0
        self._last: deque[float] = deque(maxlen=1000)

    def add(self, seconds: float) -> None:
        self._count += 1
        self._last.append(seconds)

    def distribution(self) -> Distribution:
        if not self._last:
            return Distribution(count=0, mean=0.0, p50=0.0, p95=0.0, p99=0.0, maximum=0.0)
        last = np.array(self._last)
        p50, p95, p99 = (float(each) for each in np.percentile(last, [50, 95, 99]))
        return Distribution(
            count=self._count, mean=float(last.mean()), p50=p50, p95=p95, p99=p99, maximum=float(last.max())
        )
