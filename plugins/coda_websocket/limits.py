"""How many connections there may be."""

from __future__ import annotations

from collections import Counter

import attrs

__all__ = ["Gate"]


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
