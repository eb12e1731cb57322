"""What a processor takes of memory: reckoned before it is loaded, and looked at while it runs.

All sizes are bytes; in words GB is 10^9 of them, GiB 2^30.
"""

from __future__ import annotations

import re
from typing import Final, Literal

import attrs

__all__ = ["Elastic", "MemoryPart", "MemoryPlan", "MemoryUse", "parse_size", "size_words"]

_UNITS: Final = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}


@attrs.frozen(kw_only=True)
class MemoryPart:
    """One thing that takes memory."""

    name: str
    kind: Literal["weights", "fixed", "conversation"]
    """Weights of the model; what is taken once beside them; what each conversation takes."""
    size_bytes: int
    """For a conversation's part: of one conversation."""
    estimated: bool = False
    """False where the size is exact."""


@attrs.frozen(kw_only=True)
class Elastic:
    """A setting by which a conversation can be made smaller, at a price."""

    setting: str
    value: int
    """What it is now."""
    minimum: int
    step_bytes: int
    """What each conversation saves where the setting is lowered by one."""


@attrs.frozen(kw_only=True)
class MemoryPlan:
    """What a processor will take, reckoned from its settings alone. A component's `plan` returns it."""

    subject: str
    """What is planned, for a person: the model, its device and its precision."""
    parts: tuple[MemoryPart, ...]
    conversations: int
    """How many the settings ask for."""
    loading_bytes: int = 0
    """Taken while weights are loaded, beside them and before conversations get theirs."""
    budget_bytes: int | None = None
    """What may be taken; None where that is not known here."""
    budget_source: str = ""
    """Where the budget is from, as in ``vram_allocation = "40GB"``."""
    elastic: Elastic | None = None
    notes: tuple[str, ...] = ()
    """Sentences for a person: what was assumed, and the price of a setting."""

    @property
    def weights_bytes(self) -> int:
        return self._sum("weights")

    @property
    def fixed_bytes(self) -> int:
        return self._sum("fixed")

    @property
    def bytes_per_conversation(self) -> int:
        return self._sum("conversation")

    def needed_bytes(self, conversations: int) -> int:
        """Return the budget that so many conversations need."""
        of_conversations = conversations * self.bytes_per_conversation
        return self.weights_bytes + self.fixed_bytes + max(self.loading_bytes, of_conversations)

    def fitting(self, budget_bytes: int) -> int:
        """Return how many conversations fit into a budget; 0 where not even the model does."""
        if budget_bytes < self.needed_bytes(1):
            return 0
        room = budget_bytes - self.weights_bytes - self.fixed_bytes
        return room // self.bytes_per_conversation if self.bytes_per_conversation else self.conversations

    def largest_elastic(self, conversations: int, budget_bytes: int) -> int | None:
        """Return the largest value of the `elastic` setting with which so many conversations fit, if there is one."""
        if self.elastic is None or budget_bytes < self.needed_bytes(0):
            return None
        missing = self.needed_bytes(conversations) - budget_bytes
        value = self.elastic.value - max(0, -(-missing // (conversations * self.elastic.step_bytes)))
        return value if value >= self.elastic.minimum else None

    def _sum(self, kind: str) -> int:
        return sum(part.size_bytes for part in self.parts if part.kind == kind)


@attrs.frozen(kw_only=True)
class MemoryUse:
    """What is in use now of the memory that a processor may take."""

    used_bytes: int
    limit_bytes: int
    pressing: bool
    """Whether the limit is near: no new conversation is taken until it is not."""
    where: str
    """For a person: which memory this is."""

    def __str__(self) -> str:
        return f"{size_words(self.used_bytes)} of the {size_words(self.limit_bytes)} {self.where} are in use"


def parse_size(text: str) -> int | None:
    """Return the bytes that a size such as ``8GB``, ``7.5GiB`` or ``500 MB`` stands for; None for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(GB|GiB|MB|MiB)", text)
    return None if match is None else int(float(match[1]) * _UNITS[match[2]])


def size_words(size: float) -> str:
    """Return bytes for a person, as in ``15.76 GB``, ``3.20 MB`` or ``0.27 kB``."""
    if abs(size) >= 10**8:
        return f"{size / 10**9:.2f} GB"
    return f"{size / 10**6:.2f} MB" if abs(size) >= 10**5 else f"{size / 10**3:.2f} kB"
