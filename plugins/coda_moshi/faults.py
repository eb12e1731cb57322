"""What torch raises, in the words of Coda's errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from coda_core.errors import OutOfMemory, ProcessorLost

__all__ = ["device_faults"]


@contextmanager
def device_faults(
    device: torch.device, doing: str, *, probe: Callable[[torch.device], None] = torch.cuda.synchronize
) -> Iterator[None]:
    """Turn running out of memory into `OutOfMemory` and the end of a CUDA context into `ProcessorLost`.

    All else passes as it is. A CUDA context that is lost fails at every further call, so `probe` tells it from an
    error of one operator.
    """
    try:
        yield
    except (torch.cuda.OutOfMemoryError, MemoryError) as error:
        raise _out_of_memory(device, doing) from error
    except RuntimeError as error:
        # torch has no class of its own for what its CPU allocator reports.
        if "DefaultCPUAllocator" in str(error):
            raise _out_of_memory(device, doing) from error
        if device.type == "cuda":
            try:
                probe(device)
            except RuntimeError:
                raise ProcessorLost(
                    f"{device} stopped working while {doing}: {_first_line(error)}. Every conversation on it is lost; "
                    "restart Coda, and look into the driver's log where it happens again."
                ) from error
        raise


def _out_of_memory(device: torch.device, doing: str) -> OutOfMemory:
    return OutOfMemory(
        f"{device} ran out of memory while {doing}. Serve fewer conversations, choose a smaller dtype, "
        "or free memory that others hold."
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
