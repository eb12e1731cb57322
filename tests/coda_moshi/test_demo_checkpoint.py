"""The checkpoint that comes with Coda: whole, small, and as good for moshi's own loaders as for Coda's."""

from __future__ import annotations

from pathlib import Path

import torch
from moshi.models import loaders

import coda_moshi.checkpoint
from coda_core.interfaces import Context
from coda_moshi.checkpoint import find_checkpoint
from coda_moshi.config import MoshiConfig
from coda_moshi.injection_rule import InjectionRule
from coda_moshi.vocabulary import read_vocabulary

FOLDER = Path(coda_moshi.checkpoint.__file__).with_name("demo")


def test_all_files_together_are_below_eight_megabytes() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 8_000_000


def test_it_is_found_by_its_name(context: Context) -> None:
    found = find_checkpoint(MoshiConfig(model_path="demo"), context)
    assert found.moshi_weights == FOLDER / "moshi.safetensors"
    assert InjectionRule.of_checkpoint(found.raw_config or {}).ending == "."


def test_moshi_loads_the_folder_without_coda() -> None:
    found = loaders.CheckpointInfo.from_hf_repo(
        "demo",
        moshi_weights=FOLDER / "moshi.safetensors",
        mimi_weights=FOLDER / "mimi.safetensors",
        tokenizer=FOLDER / "tokenizer.model",
        config_path=FOLDER / "config.json",
        mimi_config_path=FOLDER / "mimi_config.json",
    )
    lm = found.get_moshi(device="cpu", dtype=torch.float32)
    assert found.get_mimi(device="cpu").total_codebooks == lm.dep_q
    vocabulary = read_vocabulary(
        FOLDER / "tokenizer.model", padding=lm.text_padding_token_id, end_of_padding=lm.end_of_text_padding_id
    )
    assert len(vocabulary.pieces) == lm.text_card
