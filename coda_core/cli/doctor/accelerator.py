"""torch, CUDA and VRAM."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Final

from coda_core.cli.doctor.finding import Finding
from coda_core.cli.doctor.probing import probe

__all__ = ["accelerator"]

_IMPORT_S: Final = 120.0
_WEIGHTS: Final = 18 * 10**9
"""The released 7B in bfloat16 with its codec and one conversation."""


def accelerator() -> Iterator[Finding]:
    """Yield what torch is and where models would run."""
    if find_spec("torch") is None:
        yield Finding("warn", "torch", "not installed", "pip install 'coda-core[moshi]'")
        return
    seen = probe("coda_core.cli.doctor.torch_probe", timeout_s=_IMPORT_S)
    if "error" in seen:
        yield Finding("warn", "torch", f"cannot be used: {seen['error']}", "pip install --force-reinstall torch")
        return
    yield Finding("ok", "torch", f"{seen['version']}, built for {_built_for(seen['cuda'])}")
    if not seen["devices"]:
        remedy = (
            'The checkpoint "demo" runs well on the CPU; a released one wants an NVIDIA GPU with 24 GB of memory. '
            "If there is one, nvidia-smi tells whether its driver works."
        )
        yield Finding("warn", "cuda", "no device; models run on the CPU", remedy)
    for device in seen["devices"]:
        total, free = device["total_bytes"], device["free_bytes"]
        found = f"{device['name']}, {total / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB free"
        if free >= _WEIGHTS:
            yield Finding("ok", "cuda", found)
        else:
            remedy = "A released checkpoint in bfloat16 wants 18 GB free: end other programs, or use a quantised one."
            yield Finding("warn", "cuda", found, remedy)


def _built_for(cuda: str | None) -> str:
    return f"CUDA {cuda}" if cuda else "the CPU alone"
