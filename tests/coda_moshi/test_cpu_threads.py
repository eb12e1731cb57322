from __future__ import annotations

import pytest
import torch

from coda_moshi.cpu_threads import chosen_threads, cpu_threads

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("setting", "device", "parameters", "chosen"),
    [
        (None, CPU, 3_000_000, 1),
        (None, CPU, 7_000_000_000, None),
        (None, GPU, 3_000_000, None),
        (4, CPU, 3_000_000, 4),
        (4, CPU, 7_000_000_000, 4),
    ],
)
def test_a_small_model_gets_one_thread(
    setting: int | None, device: torch.device, parameters: int, chosen: int | None
) -> None:
    assert chosen_threads(setting, device, parameters) == chosen


def test_the_number_before_is_put_back() -> None:
    before = torch.get_num_threads()
    with cpu_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with cpu_threads(None):
        assert torch.get_num_threads() == before
