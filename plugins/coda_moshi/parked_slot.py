"""A slot's whole future as named arrays: the model's rows, its script, and how to read both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Self

import attrs
import numpy as np
from numpy.typing import NDArray

from coda_core.errors import ModelError
from coda_moshi.slot_export import Rows

__all__ = ["ParkedSlot"]

_VERSION: Final = 1
_ABOUT: Final = "about"
_VOICE: Final = "voice"
_ROWS: Final = "rows/"


@attrs.frozen(eq=False, kw_only=True)
class ParkedSlot:
    """What a slot's output depends on, beside its conversation's options and the model."""

    rows: Rows
    steps: int
    """Steps that it has lived, those of its prompt not counted."""
    script: Mapping[str, Any]
    voice: NDArray[np.float32]
    """``[frames, frame_samples]``, what is left of a prompt's audio."""
    caller_speaking: bool

    def packed(self) -> dict[str, NDArray[Any]]:
        """Return arrays of numbers and booleans only, of one dimension at least."""
        about = {
            "version": _VERSION,
            "dtypes": dict(self.rows.dtypes),
            "steps": self.steps,
            "script": self.script,
            "caller_speaking": self.caller_speaking,
        }
        described = np.frombuffer(json.dumps(about, separators=(",", ":")).encode(), np.uint8)
        arrays: dict[str, NDArray[Any]] = {_ABOUT: described, _VOICE: self.voice}
        return arrays | {_ROWS + name: array for name, array in self.rows.arrays.items()}

    @classmethod
    def unpacked(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return what was `packed`; raises `ModelError` for anything else."""
        try:
            about = json.loads(np.asarray(arrays[_ABOUT], np.uint8).tobytes())
            if about["version"] != _VERSION:
                raise ModelError(
                    f"the parked state of a slot has version {about['version']!r}, and this Coda reads {_VERSION}"
                )
            voice = arrays[_VOICE]
            if voice.ndim != 2 or voice.dtype != np.float32 or type(about["steps"]) is not int or about["steps"] < 0:
                raise ValueError
            rows = {name.removeprefix(_ROWS): array for name, array in arrays.items() if name.startswith(_ROWS)}
            return cls(
                rows=Rows(rows, dict(about["dtypes"])),
                steps=about["steps"],
                script=about["script"],
                voice=voice,
                caller_speaking=bool(about["caller_speaking"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError("the parked state of a slot is damaged: what describes it cannot be read") from error
