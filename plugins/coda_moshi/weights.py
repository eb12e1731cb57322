"""Weights on disk: what they hold, and whether they fit the model that is to take them, before a byte is loaded."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs
import torch
from safetensors import SafetensorError, safe_open

from coda_core.errors import ModelError

__all__ = ["Spec", "check_fit", "check_lora_fit", "read_header"]

_TYPES: Final[Mapping[str, torch.dtype]] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@attrs.frozen
class Spec:
    """One tensor of a safetensors file."""

    shape: tuple[int, ...]
    dtype: torch.dtype


def read_header(path: Path) -> dict[str, Spec]:
    """Return what a safetensors file says it holds; raises `ModelError` where it is not a whole one."""
    try:
        with safe_open(str(path), framework="pt") as file:  # type: ignore[no-untyped-call]
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
            return {name: Spec(tuple(part.get_shape()), _TYPES[part.get_dtype()]) for name, part in slices.items()}
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{path} ({path.stat().st_size} bytes) is not a whole safetensors file: {error}. "
            "It was cut short or damaged on its way; fetch it again."
        ) from error
    except KeyError as error:
        raise ModelError(f"{path} holds numbers of type {error}, which Coda cannot read") from error


def check_fit(model: torch.nn.Module, path: Path, dtype: torch.dtype) -> None:
    """Load the header of `path` into `model`, which is on the meta device, as its weights will be into the real one.

    Floats become `dtype`. Afterwards the sizes of its parameters are what the weights will take. Raises `ModelError`
    where names or shapes differ.
    """
    try:
        model.load_state_dict(_promised(path, dtype), assign=True)
    except RuntimeError as error:
        raise _misfit(path, str(error).splitlines()[1:]) from error


def check_lora_fit(model: torch.nn.Module, path: Path, dtype: torch.dtype) -> None:
    """Do the same with LoRA weights, of which `model` holds more than the file brings."""
    try:
        found = model.load_state_dict(_promised(path, dtype), assign=True, strict=False)
    except RuntimeError as error:
        raise _misfit(path, str(error).splitlines()[1:]) from error
    missing = [f"missing {name}" for name in found.missing_keys if ".lora_" in name]
    unexpected = [f"unexpected {name}" for name in found.unexpected_keys]
    if missing or unexpected:
        raise _misfit(path, unexpected + missing)


def _promised(path: Path, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    promised = {}
    for name, spec in read_header(path).items():
        # Scales of 8-bit weights stay as they are: float32.
        cast = spec.dtype.is_floating_point and not name.endswith("_scb")
        promised[name] = torch.empty(spec.shape, dtype=dtype if cast else spec.dtype, device="meta")
    return promised


def _misfit(path: Path, details: Sequence[str]) -> ModelError:
    shown = "; ".join(textwrap.shorten(detail, 160) for detail in details[:2])
    more = f"; and {len(details) - 2} more" if len(details) > 2 else ""
    return ModelError(
        f"the weights in {path} are not for the model that the checkpoint's config describes: {shown}{more}. "
        "Take both from the same place."
    )
