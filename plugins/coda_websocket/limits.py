"""What a peer may take: connections, and amounts over time. Pure, but for the clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import attrs

__all__ = ["Allowance", "Gate"]


@attrs.define
class Allowance:
    """So much a second on average, and a burst above it: a bucket that fills at a steady rate."""

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


@attrs.define
class Gate:
    """Counts connections, in total and per address."""

    total: int
    per_address: int
    _inside: Counter[str] = attrs.field(init=False, factory=Counter)
    _count: int = attrs.field(init=False, default=0)

    def enter(self, address: str) -> bool:
        """Return whether one more may come in; who did must `leave`."""
        if self._count >= self.total or self._inside[address] >= self.per_address:
            if not self._inside[address]:
                del self._inside[address]
            return False
        self._count += 1
        self._inside[address] += 1
        return True

    def leave(self, address: str) -> None:
        self._count -= 1
        self._inside[address] -= 1
        if not self._inside[address]:
            del self._inside[address]

    def __len__(self) -> int:
        return self._count
