"""Whether a model fits into the memory that it may take."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import attrs
import torch

from coda_core.errors import ModelError, OutOfMemory
from coda_core.memory import MemoryPlan, parse_size, size_words
from coda_moshi.host_memory import host_memory

__all__ = ["Budget", "device_budget", "parse_allocation", "process_limit"]


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

    @property
    def source(self) -> str:
        """Where the budget is from, for a person."""
        return f"free on {self.device}" if self.allocation is None else f"vram_allocation = {self.allocation!r}"

    def check(self, plan: MemoryPlan) -> None:
        """Raise `OutOfMemory`, with the sum, where `plan` needs more than is allowed or more than is free."""
        room = min(self.allowed, self.free)
        needed = plan.needed_bytes(plan.conversations)
        if needed <= room:
            return
        has = f"{self.device} has {size_words(self.free)} of {size_words(self.total)} free"
        if self.allocation is not None:
            has = f"vram_allocation = {self.allocation!r} allows {size_words(self.allowed)}, and {has}"
        weights, fixed, each = plan.weights_bytes, plan.fixed_bytes, plan.bytes_per_conversation
        raise OutOfMemory(
            f"the model does not fit: {size_words(weights)} of weights, {size_words(fixed)} beside them and "
            f"{plan.conversations} x {size_words(each)} for conversations are {size_words(needed)}, but {has}. "
            f"{_remedy(plan, room)}"
        )


def _remedy(plan: MemoryPlan, room: int) -> str:
    ways = []
    if fitting := plan.fitting(room):
        ways.append(f"conversations = {fitting}")
    if (shorter := plan.largest_elastic(plan.conversations, room)) is not None and plan.elastic is not None:
        ways.append(f"{plan.elastic.setting} = {shorter}")
    if ways:
        return f"{' or '.join(ways)} would fit."
    return "Choose a smaller checkpoint or dtype, or another device."


def parse_allocation(text: str, total: int) -> int:
    """Return the bytes that a ``vram_allocation`` such as ``8GB``, ``7.5GiB`` or ``60%`` stands for.

    `total` is the device's memory, which a percentage refers to. Raises `ModelError` for anything else, for nothing
    and for more than there is.
    """
    percent = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text)
    size = parse_size(text) if percent is None else int(float(percent[1]) * total / 100)
    if size is None:
        raise ModelError(f"vram_allocation is {text!r}; expected a size such as '8GB', '7.5GiB' or '60%'")
    if not 0 < size <= total:
        raise ModelError(
            f"vram_allocation is {text!r}, which is {size_words(size)}; the device has {size_words(total)} in all"
        )
    return size


def device_budget(device: torch.device, allocation: str | None) -> Budget:
    """Return what the device has now."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return Budget(device=str(device), total=total, free=free, allocation=allocation)
    memory = host_memory()
    return Budget(device="this machine", total=memory.total, free=memory.free, allocation=allocation)


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
