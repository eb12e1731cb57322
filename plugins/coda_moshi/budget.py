"""Whether a model fits into the memory that it may take."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import attrs
import psutil
import torch

from coda_core.errors import ModelError, OutOfMemory

__all__ = ["Budget", "Need", "device_budget", "parse_allocation", "process_limit"]

_UNITS: Final = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}


@attrs.frozen(kw_only=True)
class Need:
    """What a model takes, in bytes. The working memory of a step is not known before one ran, and is not in it."""

    weights: int
    state: int
    """Streaming state of all conversations."""
    conversations: int

    @property
    def total(self) -> int:
        return self.weights + self.state

    @property
    def each(self) -> float:
        """Streaming state of one conversation."""
        return self.state / self.conversations

    def __str__(self) -> str:
        return f"{_gb(self.weights)} of weights and {self.conversations} x {_gb(self.each)} for conversations"


@attrs.frozen(kw_only=True)
class Budget:
    """What there is, in bytes, and what of it may be taken."""

    device: str
    total: int
    free: int
    allocation: str | None = None
    """The setting; None allows all that is free."""

    @property
    def allowed(self) -> int:
        return self.free if self.allocation is None else parse_allocation(self.allocation, self.total)

    def check(self, need: Need) -> None:
        """Raise `OutOfMemory`, with the sum, where `need` is more than is allowed or more than is free."""
        if need.total <= min(self.allowed, self.free):
            return
        room = f"{self.device} has {_gb(self.free)} of {_gb(self.total)} free"
        if self.allocation is not None:
            room = f"vram_allocation = {self.allocation!r} allows {_gb(self.allowed)}, and {room}"
        fitting = int((min(self.allowed, self.free) - need.weights) / need.each)
        remedy = (
            f"conversations = {fitting} would fit."
            if fitting > 0
            else "Choose a smaller checkpoint or dtype, or another device."
        )
        raise OutOfMemory(f"the model does not fit: {need} are {_gb(need.total)}, but {room}. {remedy}")


def parse_allocation(text: str, total: int) -> int:
    """Return the bytes that a ``vram_allocation`` such as ``8GB``, ``7.5GiB`` or ``60%`` stands for.

    `total` is the device's memory, which a percentage refers to. Raises `ModelError` for anything else, for nothing
    and for more than there is.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(GB|GiB|MB|MiB|%)", text)
    if match is None:
        raise ModelError(f"vram_allocation is {text!r}; expected a size such as '8GB', '7.5GiB' or '60%'")
    number, unit = float(match[1]), match[2]
    size = int(number * total / 100) if unit == "%" else int(number * _UNITS[unit])
    if not 0 < size <= total:
        raise ModelError(f"vram_allocation is {text!r}, which is {_gb(size)}; the device has {_gb(total)} in all")
    return size


def device_budget(device: torch.device, allocation: str | None) -> Budget:
    """Return what the device has now."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return Budget(device=str(device), total=total, free=free, allocation=allocation)
    memory = psutil.virtual_memory()
    return Budget(device="this machine", total=memory.total, free=memory.available, allocation=allocation)


@contextmanager
def process_limit(device: torch.device, allocation: str | None) -> Iterator[None]:
    """Let torch take no more of a GPU than `allocation` meanwhile; on a CPU, and where it is None, there is no limit.

    The limit is this process's as a whole: torch has none for one model.
    """
    if device.type != "cuda" or allocation is None:
        yield
        return
    budget = device_budget(device, allocation)
    torch.cuda.set_per_process_memory_fraction(budget.allowed / budget.total, device)
    try:
        yield
    finally:
        # Fails where the device was lost, which is then already being said.
        with suppress(RuntimeError):
            torch.cuda.set_per_process_memory_fraction(1.0, device)


def _gb(size: float) -> str:
    return f"{size / 10**9:.2f} GB" if size >= 10**8 else f"{size / 10**6:.2f} MB"
