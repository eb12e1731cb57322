from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from coda_moshi.host_memory import HostMemory
from coda_moshi.memory_watch import MemoryWatch, Reading, device_readings, resident_bytes

GB = 10**9


class Machine:
    """Limits that a test moves."""

    def __init__(self, *readings: Reading) -> None:
        self.readings = list(readings)

    def read(self) -> list[Reading]:
        return self.readings

    def use(self, used: int, index: int = 0) -> None:
        before = self.readings[index]
        self.readings[index] = Reading(before.where, used, before.limit, before.slack)


def test_pressure_comes_before_the_limit_and_goes_without_flicker() -> None:
    machine = Machine(Reading("here", 60, 100))
    watch = MemoryWatch(machine.read, 0.9)
    seen = []
    # Of the 40 that were left, 36 are 0.9 and 34 are 0.85.
    for used in (60, 95, 96, 95, 94, 93, 95, 99, 60):
        machine.use(used)
        seen.append(watch.look().pressing)
    assert seen == [False, False, True, True, True, False, False, True, False]


def test_a_model_that_fills_its_budget_does_not_press() -> None:
    """Its memory is taken for good, whoever comes or goes."""
    machine = Machine(Reading("here", 99, 100))
    watch = MemoryWatch(machine.read, 0.9)
    assert not watch.look().pressing
    machine.use(100)
    assert watch.look().pressing


def test_the_nearest_limit_is_reported() -> None:
    machine = Machine(Reading("there", 10, 100), Reading("here", 50, 60))
    watch = MemoryWatch(machine.read, 0.5)
    machine.use(40)
    machine.use(58, index=1)
    use = watch.look()
    assert (use.used_bytes, use.limit_bytes, use.where, use.pressing) == (58, 60, "here", True)


def test_small_growth_is_none() -> None:
    machine = Machine(Reading("here", 100, 101, slack=50))
    watch = MemoryWatch(machine.read, 0.9)
    for used, pressing in ((140, False), (145, True), (90, False)):
        machine.use(used)
        assert watch.look().pressing == pressing


def test_a_processor_on_a_cpu_watches_the_machine_and_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coda_moshi.memory_watch.host_memory", lambda: HostMemory(8 * GB, 5 * GB))
    monkeypatch.setattr("coda_moshi.memory_watch.resident_bytes", lambda: 3 * GB)
    machine, own = device_readings(torch.device("cpu"), 2 * GB, GB)()
    assert (machine.used, machine.limit) == (3 * GB, 8 * GB)
    assert (own.used, own.limit) == (2 * GB, 2 * GB)
    assert len(device_readings(torch.device("cpu"), None, GB)()) == 1


def test_a_processor_on_a_gpu_watches_that_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (30 * GB, 80 * GB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 20 * GB)
    gpu = torch.device("cuda", 1)
    _, device, own = device_readings(gpu, 24 * GB, 0)()
    assert (device.where, device.used, device.limit) == ("on cuda:1", 50 * GB, 80 * GB)
    assert (own.used, own.limit) == (20 * GB, 24 * GB)
    assert len(device_readings(gpu, None, 0)()) == 2


def test_a_processor_tells(open_processor: Callable[..., Any], brief_folder: Path) -> None:
    with open_processor(brief_folder, 1, vram_allocation="2GB") as processor:
        use = processor.memory()
    assert use.limit_bytes > 0
    assert not use.pressing


def test_this_process_has_a_size() -> None:
    assert resident_bytes() > 10**6
