"""What a client may take over time."""

from __future__ import annotations

from collections.abc import Callable

import attrs

__all__ = ["Allowance"]


@attrs.define
class Allowance:
    """So much a second on average, and a burst above it."""

    per_s: float
    burst: float
    now: Callable[[], float]
    _left: float = attrs.field(init=False)
    _at: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._left = self.burst
        self._at = self.now()

    def take(self, amount: float) -> bool:
        """Take `amount`; False where it is not there, and then nothing is taken."""
        now = self.now()
        self._left = min(self.burst, self._left + (now - self._at) * self.per_s)
        self._at = now
        if amount > self._left:
            return False
        self._left -= amount
        return True
