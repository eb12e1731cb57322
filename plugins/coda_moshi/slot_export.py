"""A slot's rows of streaming state as numpy arrays, and back into any slot of any batch.

Of a ring of keys and values only the part that holds any is taken. NumPy knows no bfloat16: such rows travel as the
uint16 of the same bits, and `Rows.dtypes` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from coda_core.errors import ModelError
from coda_moshi.slot_state import Row, SlotState

__all__ = ["Rows", "SlotRows"]


@attrs.frozen(eq=False)
class Rows:
    """What `SlotRows.taken` found in a slot."""

    arrays: Mapping[str, NDArray[Any]]
    dtypes: Mapping[str, str]
    """By name, torch's dtype."""

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.arrays.values())


class SlotRows:
    """The rows of some parts of a model; each part's names stand behind its own."""

    def __init__(self, parts: Mapping[str, SlotState]) -> None:
        self._rows = {f"{part}/{row.name}": row for part, state in parts.items() for row in state}

    def taken(self, slot: int) -> Rows:
        """Return a copy of the rows of `slot`; they are left as they are."""
        arrays, dtypes = {}, {}
        for name, row in self._rows.items():
            tensor = _of_slot(row, slot)
            end = _ring_end(row)
            if end is not None:
                tensor = tensor[..., : int(end[slot]), :]
            arrays[name] = _to_numpy(tensor)
            dtypes[name] = _dtype_name(tensor)
        return Rows(arrays, dtypes)

    def put(self, slot: int, rows: Rows) -> None:
        """Write rows that `check` let pass into `slot`, which holds a fresh state."""
        for name, row in self._rows.items():
            place = _of_slot(row, slot)
            values = _to_tensor(rows.arrays[name], place.dtype)
            if _ring_end(row) is not None:
                place = place[..., : values.shape[-2], :]
            place.copy_(values)

    def check(self, slot: int, rows: Rows) -> None:
        """Raise `ModelError` where names, shapes or dtypes of `rows` are not those of this model."""
        for name in self._rows.keys() ^ rows.arrays.keys():
            where = "lacks" if name in self._rows else "has an unknown"
            raise ModelError(f"the parked state of a slot does not fit this model: it {where} {name}")
        for name, row in self._rows.items():
            array, tensor = rows.arrays[name], _of_slot(row, slot)
            expected = list(tensor.shape)
            if _ring_end(row) is not None:
                end = rows.arrays[name.removesuffix(".cache") + ".end_offset"]
                if end.shape != (1,) or end.dtype != np.int64 or end[0] < 0:
                    raise ModelError(f"the parked state of a slot is damaged: {name} has no sound end")
                expected[-2] = min(expected[-2], int(end[0]))
            dtype = _dtype_name(tensor)
            if list(array.shape) != expected or rows.dtypes.get(name) != dtype or array.dtype != _numpy_dtype(tensor):
                raise ModelError(
                    f"the parked state of a slot does not fit this model: {name} is {array.dtype} {list(array.shape)}, "
                    f"expected {dtype} {expected}. It comes from another checkpoint, or from other settings of context "
                    "and dtype."
                )


def _of_slot(row: Row, slot: int) -> torch.Tensor:
    # The axis stays, as a number by itself is no array to a file.
    return row.tensor.narrow(row.axis, slot, 1)


def _ring_end(row: Row) -> torch.Tensor | None:
    """Return the tensor that counts what was written into a ring ``[2, slots, heads, places, width]``."""
    if row.attribute != "cache":
        return None
    end: torch.Tensor | None = getattr(row.owner, "end_offset", None)
    return end


def _dtype_name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _numpy_dtype(tensor: torch.Tensor) -> np.dtype[Any]:
    return np.dtype(np.uint16) if tensor.dtype == torch.bfloat16 else np.dtype(_dtype_name(tensor))


def _to_numpy(tensor: torch.Tensor) -> NDArray[Any]:
    # On a CPU `cpu` would hand out the row itself.
    host = tensor.detach().to("cpu", copy=True).contiguous()
    if host.dtype == torch.bfloat16:
        return host.view(torch.int16).numpy().view(np.uint16)
    array: NDArray[Any] = host.numpy()
    return array


def _to_tensor(array: NDArray[Any], dtype: torch.dtype) -> torch.Tensor:
    # What was read from a file may be read-only, which torch warns of.
    writable = np.require(array, requirements=["C", "W"])
    if dtype == torch.bfloat16:
        return torch.from_numpy(writable.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(writable)
