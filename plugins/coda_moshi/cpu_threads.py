"""How many CPU threads one operator of torch uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

__all__ = ["chosen_threads", "cpu_threads"]

_SMALL_PARAMETERS: Final = 20_000_000


def chosen_threads(setting: int | None, device: torch.device, parameters: int) -> int | None:
    """Return how many threads a model of so many parameters is served with; None leaves torch's number.

    The operators of a small model are too short to be shared: a second thread gains a tenth, and where something else
    wants its core, every operator waits for it and a step takes several times as long.
    """
    if setting is None and device.type == "cpu" and parameters < _SMALL_PARAMETERS:
        return 1
    return setting


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Let torch use `count` threads meanwhile, on this thread and on those that first use torch meanwhile.

    torch keeps no such number for each model, so the one before is put back afterwards.
    """
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
