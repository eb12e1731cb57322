"""Plans of checkpoints that are here, and of those that are not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file, save_file

from coda_core.errors import ModelError
from coda_core.interfaces import Context
from coda_core.memory import MemoryPlan
from coda_moshi.config import MoshiConfig
from coda_moshi.planning import plan_moshi

RELEASED = "kyutai/moshiko-pytorch-bf16"


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was fetched, and nobody answers."""

    def nothing(*_: Any) -> Path:
        raise LocalEntryNotFoundError("not here")

    monkeypatch.setattr("coda_moshi.planning.cached_folder", nothing)
    monkeypatch.setattr("coda_moshi.planning.hub_answers", lambda: False)


_plans: dict[MoshiConfig, MemoryPlan] = {}
"""A released checkpoint takes a second on a busy machine, so each plan of one is made once."""


def plan(within: Context, **settings: Any) -> MemoryPlan:
    config = MoshiConfig(**settings)
    if config.model_path != RELEASED:
        return plan_moshi(config, within)
    if config not in _plans:
        _plans[config] = plan_moshi(config, within)
    return _plans[config]


def part(of: MemoryPlan, name: str) -> int:
    return next(part.size_bytes for part in of.parts if part.name == name)


def test_the_released_model_without_its_files(context: Context) -> None:
    found = plan(context, model_path=RELEASED, device="cuda", vram_allocation="40GB")
    ring = part(found, "keys and values of the temporal transformer")
    # 32 layers of keys and values of 4,096 numbers in bfloat16, and where each layer's ring ends.
    step = 32 * 2 * 4096 * 2
    assert step == 512 * 1024
    assert ring == 3000 * step + 32 * 8
    assert part(found, "language model") == 2 * 7_687_729_152
    assert part(found, "keys and values of the depth transformer") == 6 * 2 * 1024 * 8 * 2
    assert found.budget_bytes == 40 * 10**9
    assert found.fitting(40 * 10**9) == 14
    assert found.fitting(80 * 10**9) == 39
    assert found.needed_bytes(14) <= 40 * 10**9 < found.needed_bytes(15)
    assert any("not on this machine" in note for note in found.notes)


def test_a_shorter_context_and_its_price(context: Context) -> None:
    whole = plan(context, model_path=RELEASED, device="cuda")
    short = plan(context, model_path=RELEASED, device="cuda", context=750)
    assert whole.bytes_per_conversation - short.bytes_per_conversation == 2250 * 512 * 1024
    assert any("the last 60.0 s of a conversation instead of 240.0 s" in note for note in short.notes)
    assert whole.elastic is not None
    assert whole.elastic.step_bytes == 512 * 1024


def test_the_longest_context_that_fits(context: Context) -> None:
    whole = plan(context, model_path="tiny", conversations=20)
    budget = whole.needed_bytes(20) - 100_000
    fitting = whole.largest_elastic(20, budget)
    assert fitting is not None
    for steps, fits in ((fitting, True), (fitting + 1, False)):
        again = plan(context, model_path="tiny", context=steps)
        assert (again.needed_bytes(20) <= budget) == fits


def test_a_longer_context_than_the_checkpoint_has_is_refused(context: Context) -> None:
    with pytest.raises(ModelError, match="context is 3001; the checkpoint remembers 3000 steps"):
        plan(context, model_path=RELEASED, device="cuda", context=3001)


def test_eight_bits_take_half(context: Context) -> None:
    whole = plan(context, model_path=RELEASED, device="cuda")
    stored = plan(context, model_path="kyutai/moshika-pytorch-q8", device="cuda")
    made = plan(context, model_path=RELEASED, device="cuda", quantize=True)
    assert stored.weights_bytes == made.weights_bytes
    assert 0.5 < made.weights_bytes / whole.weights_bytes < 0.55
    # Keys and values of 8-bit layers are float16.
    assert stored.bytes_per_conversation == whole.bytes_per_conversation
    assert stored.loading_bytes > 0
    assert "8 bits" in made.subject


def test_a_device_that_is_not_here(context: Context) -> None:
    assert "cuda in bfloat16" in plan(context, model_path=RELEASED).subject
    assert "cpu in float32" in plan(context, model_path="tiny").subject
    share = plan(context, model_path="tiny", device="cuda", vram_allocation="60%")
    assert share.budget_bytes is None
    assert any("--budget gives a size" in note for note in share.notes)


def test_a_budget_that_this_machine_does_not_have(context: Context) -> None:
    found = plan(context, model_path="tiny", vram_allocation="99999GB")
    assert found.budget_bytes == 99_999 * 10**9
    assert any("in all" in note for note in found.notes)


def test_a_budget_of_this_machine(context: Context) -> None:
    found = plan(context, model_path="tiny", vram_allocation="1GB")
    assert (found.budget_bytes, found.budget_source) == (10**9, "vram_allocation = '1GB'")
    free = plan(context, model_path="tiny")
    assert free.budget_bytes is not None
    assert free.budget_source == "free on this machine"


def test_a_repository_that_nobody_knows(context: Context) -> None:
    with pytest.raises(ModelError, match="somebody/moshi is not on this machine, the hub does not answer"):
        plan(context, model_path="somebody/moshi")


def test_a_repository_whose_config_is_fetched(
    context: Context, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coda_moshi.planning.hub_answers", lambda: True)
    monkeypatch.setattr("coda_moshi.planning.hub_config", lambda *_: tiny_folder / "config.json")
    raw = json.loads((tiny_folder / "config.json").read_text())
    assert raw["card"] == 256
    with pytest.raises(ModelError, match="the codec has 2048 codes in a codebook"):
        plan(context, model_path="somebody/moshi")
    monkeypatch.setattr("coda_moshi.planning.hub_config", lambda *_: None)
    whole = plan(context, model_path=RELEASED, device="cuda")
    assert plan(context, model_path="somebody/moshi", device="cuda").parts == whole.parts


def test_weights_are_weighed_as_they_will_be_in_memory(context: Context, tiny_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "half"))
    weights = load_file(folder / "model.safetensors")
    save_file({name: value.to(torch.bfloat16) for name, value in weights.items()}, folder / "model.safetensors")
    for settings in ({"device": "cpu"}, {"device": "cpu", "dtype": "bfloat16"}, {"device": "cuda", "dtype": "float32"}):
        before, after = (plan(context, model_path=str(path), **settings) for path in (tiny_folder, folder))
        assert before.parts == after.parts
    # A GPU gets the file as it is, before it is cast.
    whole = plan(context, model_path=str(tiny_folder), device="cuda", dtype="bfloat16")
    half = plan(context, model_path=str(folder), device="cuda", dtype="bfloat16")
    assert whole.loading_bytes == part(whole, "language model")
    assert half.loading_bytes == 0
