"""The rows of streaming state that belong to a slot.

moshi's streaming modules keep their state in dataclasses: tensors in which each slot is one row, a mask that says
which rows may move, and counters. This module knows those tensors by name, so that a slot can be wiped, counted and
copied without its neighbours noticing. A tensor that it does not know is an error at load: better than one that leaks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs
import torch

from coda_core.errors import ModelError

__all__ = ["Row", "SlotState"]

_FRESH: Final[Mapping[str, float | bool]] = {
    "previous": 0.0,  # input that a convolution still needs
    "first": True,  # whether such a convolution has seen nothing yet
    "partial": 0.0,  # output that a transposed convolution still owes
    "offset": 0,
    "offsets": 0,
    "cache": -2,  # LMGen's tokens; -2 is moshi's mark for one that is not generated yet
    "probability": 0.0,  # of the text tokens that are still delayed
    "codes": 0,  # of a prompt's audio, the same
}
"""Tensors of which axis 0 is the slot, in moshi 0.2's state classes and ours, and what a fresh row holds."""

_RING: Final[Mapping[str, int]] = {"cache": 1, "end_offset": 0}
"""Tensors of a ring of keys and values, and which axis is the slot; a fresh row holds zeros."""

_NOT_PER_SLOT: Final = frozenset({"exec_mask", "initial"})


@attrs.frozen(eq=False)
class Row:
    """Where a tensor with one row for each slot is found. It is looked up every time: some are replaced by a step."""

    name: str
    owner: Any
    attribute: str
    axis: int
    fresh: float | bool

    @property
    def tensor(self) -> torch.Tensor:
        tensor: torch.Tensor = getattr(self.owner, self.attribute)
        return tensor


class SlotState:
    """Streaming state of some modules.

    `states` is what a streaming module's ``get_streaming_state`` returns, with names of one's own choice. Raises
    `ModelError` where it holds a tensor that this module does not know.
    """

    def __init__(self, states: Mapping[str, Any]) -> None:
        self._states = dict(states)
        self._rows = tuple(row for name, state in self._states.items() for row in _rows(name, state))

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def share_mask(self, mask: torch.Tensor) -> None:
        """Let `mask`, bool ``[slots]``, be the mask of all these modules: writing to it moves or freezes rows at once.

        To be called before anything is captured in a CUDA graph. ``set_exec_mask`` would write to every module's own
        mask instead, a hundred small operations a step.
        """
        for state in self._states.values():
            state.exec_mask = mask

    def wipe(self, slots: torch.Tensor) -> None:
        """Make the rows of `slots`, int64 ``[n]``, what they were before any step."""
        for row in self._rows:
            row.tensor.index_fill_(row.axis, slots, row.fresh)

    def size_bytes(self) -> int:
        return sum(row.tensor.numel() * row.tensor.element_size() for row in self._rows)


def _rows(name: str, state: Any) -> Iterator[Row]:
    for attribute, value in vars(state).items():
        if isinstance(value, torch.Tensor):
            if attribute in _FRESH:
                yield Row(f"{name}.{attribute}", state, attribute, 0, _FRESH[attribute])
            elif attribute not in _NOT_PER_SLOT:
                raise _unknown(f"{type(state).__name__}.{attribute}")
        elif hasattr(value, "end_offset"):
            for part, axis in _RING.items():
                yield Row(f"{name}.{attribute}.{part}", value, part, axis, 0)


def _unknown(what: str) -> ModelError:
    return ModelError(
        f"the installed moshi package keeps a streaming state that this Coda does not know ({what}), so conversations "
        "could not be kept apart. Install the version of moshi that coda-core[moshi] asks for."
    )
