"""LoRA weights: found, scaled, fused, and changing what is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from moshi.models import loaders
from safetensors.torch import load_file, save_file

from coda_core.errors import ModelError
from coda_core.interfaces import Context
from coda_moshi.config import MoshiConfig
from coda_moshi.planning import plan_moshi


@pytest.fixture(scope="module")
def lora_folder(brief_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a fine-tuning run leaves: ``lora.safetensors`` of rank 4, and a config that says so."""
    folder = tmp_path_factory.mktemp("lora")
    torch.manual_seed(1)
    config = json.loads((brief_folder / "config.json").read_text())
    names = ("model_type", "moshi_name", "mimi_name", "mimi_config_name", "tokenizer_name", "lm_gen_config")
    arguments = {key: value for key, value in config.items() if key not in names}
    model = loaders.get_moshi_lm(None, arguments, dtype=torch.float32)
    model = loaders.get_lora_moshi(model, None, 4, 1.0, dtype=torch.float32)
    weights = {name: value.clone() for name, value in model.state_dict().items() if "lora" in name}
    save_file(weights, folder / "lora.safetensors")
    (folder / "config.json").write_text(json.dumps({**config, "lora": True, "lora_rank": 4, "lora_scaling": 1.0}))
    return folder


def test_lora_weights_change_what_is_said(
    open_processor: Any, stage: Any, voice: Any, brief_folder: Path, lora_folder: Path
) -> None:
    frames = voice(1, 14)
    spoken, fingerprints = {}, set()
    ways: dict[str, dict[str, Any]] = {
        "without": {},
        "fused": {"lora_path": str(lora_folder)},
        "beside": {"lora_path": str(lora_folder / "lora.safetensors"), "fuse_lora": False},
    }
    for name, settings in ways.items():
        with open_processor(brief_folder, 1, greedy=True, **settings) as processor:
            spoken[name] = stage(processor).talk(0, frames).token.tolist()
            fingerprints.add(processor.info.fingerprint)
    assert spoken["fused"] == spoken["beside"] != spoken["without"]
    assert len(fingerprints) == 3


@pytest.mark.parametrize("fuse", [True, False])
def test_what_they_take_is_planned(
    open_processor: Any, context: Context, brief_folder: Path, lora_folder: Path, fuse: bool
) -> None:
    settings: dict[str, Any] = {"lora_path": str(lora_folder), "fuse_lora": fuse, "dtype": "bfloat16"}
    plan = plan_moshi(MoshiConfig(model_path=str(brief_folder), **settings), context)
    with open_processor(brief_folder, 1, **settings) as processor:
        lm = processor.batch.generator.lm_model
        assert plan.parts[0].size_bytes == sum(weight.numel() * weight.element_size() for weight in lm.parameters())


def test_a_checkpoint_may_name_its_own(
    open_processor: Any, stage: Any, voice: Any, brief_folder: Path, lora_folder: Path, tmp_path: Path
) -> None:
    frames = voice(1, 14)
    for path in (*brief_folder.iterdir(), *lora_folder.iterdir()):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((lora_folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "lora_name": "lora.safetensors"}))
    with open_processor(tmp_path, 1, greedy=True) as processor:
        own = stage(processor).talk(0, frames)
    with open_processor(brief_folder, 1, greedy=True, lora_path=str(lora_folder)) as processor:
        assert stage(processor).talk(0, frames) == own


def test_the_rank_is_read_from_weights_without_a_config(
    open_processor: Any, brief_folder: Path, lora_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "alone.safetensors").write_bytes((lora_folder / "lora.safetensors").read_bytes())
    with open_processor(brief_folder, 1, lora_path=str(tmp_path / "alone.safetensors")) as processor:
        assert processor.info.slots == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, r"lora_path names .*lora.safetensors, which does not exist"),
        ({"weights": torch.zeros(2)}, r"lora.safetensors holds no LoRA weights"),
        (
            {"wings.lora_A.weight": torch.zeros(4, 2)},
            r"lora.safetensors are not for the model .*unexpected wings.lora_A.weight; missing .* more",
        ),
    ],
)
def test_lora_weights_that_cannot_be_used(
    open_processor: Any, brief_folder: Path, tmp_path: Path, content: dict[str, torch.Tensor] | None, said: str
) -> None:
    if content is not None:
        save_file(content, tmp_path / "lora.safetensors")
    with pytest.raises(ModelError, match=said), open_processor(brief_folder, 1, lora_path=str(tmp_path)):
        pass


def test_pickled_lora_weights_are_refused(open_processor: Any, brief_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "lora.pt"
    torch.save(load_file(brief_folder / "mimi.safetensors"), path)
    with (
        pytest.raises(ModelError, match=r"lora.pt is not a safetensors file"),
        open_processor(brief_folder, 1, lora_path=str(path), allow_pickle=True),
    ):
        pass
