"""Slots as prompts left them, so that a prompt is taken in once and not by every conversation."""

from __future__ import annotations

from collections import OrderedDict

from coda_moshi.slot_export import Rows

__all__ = ["PromptCache"]


class PromptCache:
    """Keeps the rows of the `most` prompts that were used last, in host memory; those kept for good are not counted."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: OrderedDict[str, Rows] = OrderedDict()
        self._for_good: dict[str, Rows] = {}

    def find(self, key: str) -> Rows | None:
        """Return what a prompt left, None where it is not kept."""
        if key in self._for_good:
            return self._for_good[key]
        rows = self._rows.get(key)
        if rows is not None:
            self._rows.move_to_end(key)
        return rows

    def keep(self, key: str, rows: Rows) -> None:
        self._rows[key] = rows
        self._rows.move_to_end(key)
        while len(self._rows) > self._most:
            self._rows.popitem(last=False)

    def clear(self) -> None:
        """Drop everything."""
        self._rows.clear()
        self._for_good.clear()

    def keep_for_good(self, key: str) -> None:
        """Never drop the rows of a prompt that was kept just now."""
        self._for_good[key] = self._rows.pop(key)
