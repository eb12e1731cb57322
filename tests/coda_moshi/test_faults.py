from __future__ import annotations

import pytest
import torch

from coda_core.errors import OutOfMemory, ProcessorLost
from coda_moshi.faults import device_faults

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def alive(_: torch.device) -> None:
    pass


def dead(_: torch.device) -> None:
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


def test_what_goes_well_passes() -> None:
    with device_faults(CPU, "working", probe=dead):
        pass


@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_running_out_of_memory(error: Exception) -> None:
    with (
        pytest.raises(OutOfMemory, match=r"cuda:0 ran out of memory while working. Serve fewer conversations"),
        device_faults(GPU, "working", probe=dead),
    ):
        raise error


def test_running_out_of_host_memory_in_torch() -> None:
    with pytest.raises(OutOfMemory, match="cpu ran out of memory while working"), device_faults(CPU, "working"):
        torch.empty(2**60, dtype=torch.uint8)


def test_a_lost_device() -> None:
    with (
        pytest.raises(ProcessorLost, match=r"cuda:0 stopped working while working: CUDA error: something. Every"),
        device_faults(GPU, "working", probe=dead),
    ):
        raise RuntimeError("CUDA error: something\nCompile with TORCH_USE_CUDA_DSA")


@pytest.mark.parametrize("device", [CPU, GPU])
def test_other_errors_pass_as_they_are(device: torch.device) -> None:
    for error in (RuntimeError("shapes differ"), ValueError("no"), ZeroDivisionError()):
        with pytest.raises(type(error)) as raised, device_faults(device, "working", probe=alive):
            raise error
        assert raised.value is error
