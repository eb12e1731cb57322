"""How much of its time something had work to do. Pure, but for the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

__all__ = ["Busy"]


class Busy:
    """The share of time in which something had work to do, over the last whole window."""

    WINDOW_S: Final = 2.0

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began = now()
        self._since: float | None = None
        self._busy_s = 0.0
        self._share = 0.0

    def begins(self) -> None:
        """There is work; does nothing where there was already."""
        if self._since is None:
            self._since = self._now()

    def ends(self) -> None:
        """There is none left."""
        if self._since is not None:
            self._busy_s += self._now() - self._since
            self._since = None
            self.share()

    def share(self) -> float:
        """Return the share: 0 to 1."""
        now = self._now()
        taken = now - self._began
        if taken >= self.WINDOW_S:
            busy_s = self._busy_s + (now - self._since if self._since is not None else 0.0)
            self._share = min(1.0, busy_s / taken)
            self._began, self._busy_s = now, 0.0
            self._since = now if self._since is not None else None
        return self._share
