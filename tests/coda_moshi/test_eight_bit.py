"""8-bit weights, with a stand-in for bitsandbytes, which wants a GPU: its rounding by rows, in plain torch."""

from __future__ import annotations

import importlib.machinery
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from moshi.models import loaders
from moshi.utils.compile import no_compile
from moshi.utils.quantize import QLinear
from safetensors.torch import save_file

from coda_core.errors import ModelError
from coda_core.interfaces import Context
from coda_moshi.checkpoint import find_checkpoint
from coda_moshi.config import MoshiConfig
from coda_moshi.eight_bit import check_eight_bit, load_eight_bit, stored_in_eight_bit
from coda_moshi.loading import load_model
from coda_moshi.planning import plan_moshi

CPU = torch.device("cpu")
GPU = torch.device("cuda", 0)


def quantised(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
    if weight.is_meta:
        return weight.to(torch.int8), weight[:, 0].float(), None
    scale = weight.float().abs().amax(1)
    return (weight.float() * 127 / scale[:, None]).round().to(torch.int8), scale, None


def product(x: torch.Tensor, weight: torch.Tensor, state: Any) -> torch.Tensor:
    result: torch.Tensor = x.float() @ (weight.float() * state.SCB[:, None] / 127).T
    return result.half()


@pytest.fixture
def bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("bitsandbytes")
    module.__spec__ = importlib.machinery.ModuleSpec("bitsandbytes", None)
    functional = SimpleNamespace(int8_vectorwise_quant=quantised)
    module.__dict__.update(functional=functional, matmul=product, MatmulLtState=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "bitsandbytes", module)


@pytest.fixture
def folder(brief_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(brief_folder, tmp_path / "checkpoint"))


def found(folder: Path, context: Context) -> loaders.CheckpointInfo:
    return find_checkpoint(MoshiConfig(model_path=str(folder)), context)


def size(model: torch.nn.Module) -> int:
    return sum(weight.numel() * weight.element_size() for weight in (*model.parameters(), *model.buffers()))


def logits(lm: Any) -> torch.Tensor:
    """Return text logits of one step."""
    with torch.no_grad(), no_compile(), lm.streaming(1):
        tokens = torch.zeros(1, lm.num_codebooks, 1, dtype=torch.long)
        return lm.forward_text(tokens)[1].float().flatten()  # type: ignore[no-any-return]


@pytest.mark.usefixtures("bitsandbytes")
def test_weights_made_and_weights_stored_are_the_same(context: Context, folder: Path) -> None:
    whole = found(folder, context).get_moshi(device=CPU, dtype=torch.float32)
    made = load_eight_bit(found(folder, context), {}, device=CPU, dtype=torch.bfloat16)
    assert {weight.dtype for weight in made.parameters()} == {torch.int8, torch.float32, torch.bfloat16}
    plan = plan_moshi(MoshiConfig(model_path=str(folder), quantize=True, dtype="bfloat16"), context)
    assert plan.parts[0].size_bytes == size(made)
    assert torch.corrcoef(torch.stack([logits(whole), logits(made)]))[0, 1] > 0.99

    save_file({name: value.contiguous() for name, value in made.state_dict().items()}, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantize": True}))
    stored = load_eight_bit(found(folder, context), {}, device=CPU, dtype=torch.bfloat16)
    assert stored_in_eight_bit(found(folder, context))
    assert torch.equal(logits(stored), logits(made))
    plan = plan_moshi(MoshiConfig(model_path=str(folder), dtype="bfloat16"), context)
    assert plan.parts[0].size_bytes == size(stored)
    assert isinstance(stored.text_linear, QLinear)
    assert stored.text_linear.out_features == whole.text_linear.out_features


def test_a_cpu_serves_none(context: Context, folder: Path) -> None:
    with pytest.raises(ModelError, match="quantize asks for 8-bit weights, which moshi serves on CUDA alone"):
        load_model(MoshiConfig(model_path=str(folder), quantize=True), context, CPU)


def test_the_package_is_named(context: Context, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coda_moshi.eight_bit.find_spec", lambda _: None)
    with pytest.raises(ModelError, match="pip install bitsandbytes"):
        check_eight_bit(found(folder, context), GPU, fuse_lora=True)


@pytest.mark.usefixtures("bitsandbytes")
def test_lora_beside_them_is_refused(context: Context, folder: Path) -> None:
    with_lora = found(folder, context)
    check_eight_bit(with_lora, GPU, fuse_lora=False)
    with_lora.lora_weights = folder / "lora.safetensors"
    check_eight_bit(with_lora, GPU, fuse_lora=True)
    with pytest.raises(ModelError, match="beside which moshi serves no LoRA weights"):
        check_eight_bit(with_lora, GPU, fuse_lora=False)
