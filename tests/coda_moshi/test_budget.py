from __future__ import annotations

import attrs
import pytest
import torch

from coda_core.errors import ModelError, OutOfMemory
from coda_core.memory import Elastic, MemoryPart, MemoryPlan
from coda_moshi.budget import Budget, device_budget, parse_allocation, process_limit
from coda_moshi.host_memory import host_memory

TOTAL = 80 * 10**9


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8GB", 8 * 10**9),
        ("7.5GiB", 15 * 2**29),
        ("60%", 48 * 10**9),
        ("12.5 %", 10**10),
        ("500 MB", 5 * 10**8),
        ("512MiB", 2**29),
        ("100%", TOTAL),
    ],
)
def test_an_allocation_is_a_size_or_a_share(text: str, size: int) -> None:
    assert parse_allocation(text, TOTAL) == size


@pytest.mark.parametrize("text", ["", "8", "8gb", "8 Gb", "-1GB", "1e9", "GB", "8GB ", "8,5GB", "60 percent", ".5GB"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match=r"expected a size such as '8GB', '7.5GiB' or '60%'"):
        parse_allocation(text, TOTAL)


@pytest.mark.parametrize("text", ["0GB", "0%", "101%", "81GB"])
def test_nothing_and_more_than_there_is_are_refused(text: str) -> None:
    with pytest.raises(ModelError, match=r"the device has 80.00 GB in all"):
        parse_allocation(text, TOTAL)


PLAN = MemoryPlan(
    subject="a model",
    parts=(
        MemoryPart(name="model", kind="weights", size_bytes=15 * 10**9),
        MemoryPart(name="libraries", kind="fixed", size_bytes=10**9, estimated=True),
        MemoryPart(name="rings", kind="conversation", size_bytes=16 * 10**8),
    ),
    conversations=12,
    elastic=Elastic(setting="context", value=3000, minimum=25, step_bytes=500_000),
)
NEEDED = PLAN.needed_bytes(12)


def budget(*, free: int = TOTAL, allocation: str | None = None) -> Budget:
    return Budget(device="cuda:0", total=TOTAL, free=free, allocation=allocation)


def test_what_fits_passes() -> None:
    budget().check(PLAN)
    budget(free=NEEDED).check(PLAN)
    budget(allocation="36GB").check(PLAN)


def test_what_does_not_fit_is_reckoned_up() -> None:
    with pytest.raises(OutOfMemory) as refused:
        budget(allocation="24GB").check(PLAN)
    assert str(refused.value) == (
        "the model does not fit: 15.00 GB of weights, 1.00 GB beside them and 12 x 1.60 GB for conversations are "
        "35.20 GB, but vram_allocation = '24GB' allows 24.00 GB, and cuda:0 has 80.00 GB of 80.00 GB free. "
        "conversations = 5 or context = 1133 would fit."
    )
    budget(allocation="24GB").check(attrs.evolve(PLAN, conversations=5))
    with pytest.raises(OutOfMemory):
        budget(allocation="24GB").check(attrs.evolve(PLAN, conversations=6))


def test_an_allocation_does_not_make_what_is_taken_free() -> None:
    with pytest.raises(
        OutOfMemory, match=r"cuda:0 has 10.00 GB of 80.00 GB free. Choose a smaller checkpoint or dtype"
    ):
        budget(free=10**10, allocation="60GB").check(PLAN)


def test_what_loading_takes_has_to_fit_too() -> None:
    cast = attrs.evolve(PLAN, loading_bytes=30 * 10**9)
    assert cast.needed_bytes(12) == 46 * 10**9
    budget(free=46 * 10**9).check(cast)
    with pytest.raises(OutOfMemory):
        budget(free=46 * 10**9 - 1).check(cast)


def test_the_device_is_asked() -> None:
    found = device_budget(torch.device("cpu"), "10%")
    assert found.total == host_memory().total
    assert 0 < found.free <= found.total
    assert found.allowed == found.total // 10


def test_a_gpu_is_limited_as_long_as_the_model_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []
    gpu = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (TOTAL // 2, TOTAL))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share, _: limits.append(share))
    with process_limit(gpu, "20GB"):
        assert limits == [0.25]
    assert limits == [0.25, 1.0]
    with process_limit(gpu, None), process_limit(torch.device("cpu"), "20GB"):
        pass
    assert len(limits) == 2
