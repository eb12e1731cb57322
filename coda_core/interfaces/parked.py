"""A conversation that has no slot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from coda_core.interfaces.processor import SlotOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ParkedState"]


@attrs.frozen(eq=False, kw_only=True)
class ParkedState:
    """A conversation outside of any slot; every part is at the same frame boundary."""

    conversation: str
    frame: int
    """Steps it has lived: index of the next one."""
    fingerprint: str
    """`ProcessorInfo.fingerprint` of the processor that exported it."""
    options: SlotOptions
    slot: Mapping[str, NDArray[Any]]
    """From `Parkable.export`."""
    lane: bytes
    """The streaming manager's own part."""
    followers: Mapping[str, bytes]
    """By label, from `Follower.export`."""

    @property
    def size_bytes(self) -> int:
        arrays = sum(array.nbytes for array in self.slot.values())
        return arrays + len(self.lane) + sum(len(part) for part in self.followers.values())
