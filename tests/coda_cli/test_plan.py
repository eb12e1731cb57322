from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "sizing.md").read_text()

PLANNED = """
import attrs
from coda_core import Component, MemoryPart, MemoryPlan, hookimpl, setting
CODA_CONTRACT = 1

@attrs.frozen
class Config:
    context: int = setting(10, help="Steps.")

def plan(config, context):
    parts = (
        MemoryPart(name="numbers", kind="weights", size_bytes=10**9),
        MemoryPart(name="memory", kind="conversation", size_bytes=config.context * 10**7, estimated=True),
    )
    return MemoryPlan(subject="an abacus", parts=parts, conversations=4, notes=("It has beads.",))

@hookimpl
def coda_register_processors():
    return [Component("abacus", "Counts.", Config, lambda config, context: None, plan=plan)]
"""


@pytest.fixture
def abacus(here: Path, install: Callable[[str, str], None]) -> Path:
    """A third party's processor that can be planned, without a budget of its own."""
    install("abacus", PLANNED)
    path = here / "stack.toml"
    path.write_text('[processor]\nuse = "abacus"\n')
    return path


def planned(run: Callable[..., Any], *arguments: str) -> dict[str, Any]:
    told = run("plan", *arguments, "--json")
    assert (told.code, told.err) == (0, "")
    found: dict[str, Any] = json.loads(told.out)
    return found


@pytest.mark.usefixtures("abacus")
def test_a_third_partys_processor_is_planned(run: Callable[..., Any]) -> None:
    found = planned(run, "stack.toml")
    assert found["subject"] == "an abacus"
    assert (found["weights_bytes"], found["fixed_bytes"], found["bytes_per_conversation"]) == (10**9, 0, 10**8)
    # No budget is known: it is the one that its four conversations need.
    assert (found["budget_bytes"], found["budget_source"], found["conversations"]) == (14 * 10**8, "needed", 4)
    assert found["asked"] == {"conversations": 4, "needed_bytes": 14 * 10**8, "fits": True}


@pytest.mark.usefixtures("abacus")
def test_what_if(run: Callable[..., Any]) -> None:
    found = planned(run, "stack.toml", "--budget", "2GB")
    assert (found["budget_bytes"], found["conversations"]) == (2 * 10**9, 10)
    found = planned(run, "stack.toml", "--conversations", "7")
    assert (found["budget_bytes"], found["conversations"]) == (17 * 10**8, 7)
    found = planned(run, "stack.toml", "--budget", "1200MB", "--conversations", "7")
    assert (found["conversations"], found["asked"]["fits"]) == (2, False)
    assert planned(run, "stack.toml", "--context", "5")["bytes_per_conversation"] == 5 * 10**7
    assert planned(run, "stack.toml", "--set", "processor.context=5")["bytes_per_conversation"] == 5 * 10**7


@pytest.mark.usefixtures("abacus")
def test_a_person_gets_a_table(run: Callable[..., Any]) -> None:
    told = run("plan", "stack.toml", "--budget", "1GB")
    assert told.code == 0
    assert "abacus: an abacus" in told.out
    assert "about 0.10 GB" in told.out
    assert "1.00 GB (--budget) hold no conversation: one needs 1.10 GB." in told.out
    assert "4 conversations need 1.40 GB." in told.out
    assert "It has beads." in told.out


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_released_model_needs_no_gpu_no_weights_and_no_network(
    run: Callable[..., Any], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The documentation shows what is printed."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(here))
    (here / "moshi.toml").write_text(blocks("toml")[0])
    told = run("plan", "moshi.toml")
    assert (told.code, told.err) == (0, "")
    assert told.out in PAGE
    assert "kyutai/moshiko-pytorch-bf16 on cuda in bfloat16" in told.out
    assert "40.00 GB (vram_allocation = '40GB') hold 14 conversations." in told.out


def test_a_processor_without_a_plan_is_named(run: Callable[..., Any], here: Path) -> None:
    (here / "stack.toml").write_text('[processor]\nuse = "echo"\n')
    told = run("plan", "stack.toml")
    assert (told.code, told.out) == (2, "")
    assert 'the processor "echo" of plugin "coda_moshi"' in told.err
    assert "does not say what it takes of memory" in told.err


@pytest.mark.parametrize("size", ["0GB", "60%", "lots", "-1GB", "40"])
def test_a_budget_that_is_no_size(run: Callable[..., Any], size: str) -> None:
    told = run("plan", "stack.toml", f"--budget={size}")
    assert told.code == 2
    assert "is no size" in told.err


@pytest.mark.parametrize("allocation", ["0GB", "0.0 MiB", "0%", "150%", "100.5%", "lots"])
def test_an_allocation_that_cannot_be_is_found_by_check(run: Callable[..., Any], here: Path, allocation: str) -> None:
    (here / "stack.toml").write_text(f'[processor]\nvram_allocation = "{allocation}"\n')
    for command in ("check", "plan"):
        told = run(command, "stack.toml")
        assert told.code == 2
        assert "processor.vram_allocation" in told.err
        assert "more than nothing and 100% at most" in told.err
