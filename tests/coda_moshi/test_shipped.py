"""The checkpoint that is part of the package. What it says is judged in ``tests/meaning``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coda_core.errors import ModelError
from coda_core.interfaces import Context
from coda_moshi import shipped
from coda_moshi.checkpoint import find_checkpoint
from coda_moshi.config import MoshiConfig
from coda_moshi.injection_rule import InjectionRule
from coda_moshi.planning import plan_moshi

FILES = {
    "MODEL_CARD.md",
    "coda.json",
    "config.json",
    "mimi.safetensors",
    "mimi_config.json",
    "moshi.safetensors",
    "tokenizer.model",
}


def test_it_is_whole_and_small() -> None:
    folder = shipped.demo_checkpoint()
    assert {path.name for path in folder.iterdir()} == FILES
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 8_000_000


def test_its_rule_is_the_one_in_its_own_file(context: Context) -> None:
    """``config.json`` is left as the moshi package wants it."""
    folder = shipped.demo_checkpoint()
    assert "coda" not in json.loads((folder / "config.json").read_text())
    rule = InjectionRule.of_checkpoint(find_checkpoint(MoshiConfig(model_path="demo"), context).raw_config or {})
    assert rule == InjectionRule.of_checkpoint({"coda": json.loads((folder / "coda.json").read_text())})
    assert rule.ending == "."
    assert rule.lower_case
    assert rule.whole_words


def test_it_is_planned_from_its_files(context: Context) -> None:
    plan = plan_moshi(MoshiConfig(model_path="demo", conversations=50, device="cpu"), context)
    assert plan.notes == ()
    assert plan.subject == "demo on cpu in float32"


def test_an_installation_without_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, context: Context) -> None:
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    with pytest.raises(ModelError, match="install coda-core again"):
        find_checkpoint(MoshiConfig(model_path="demo"), context)
