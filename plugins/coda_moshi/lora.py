"""LoRA weights beside a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from moshi.models import loaders

from coda_core.errors import ModelError
from coda_moshi.checkpoint import is_safetensors, read_config
from coda_moshi.weights import read_header

__all__ = ["add_lora"]


def add_lora(found: loaders.CheckpointInfo, path: Path | None) -> dict[str, Any]:
    """Put the LoRA weights at `path` into `found`; return the language model's arguments that go with them.

    `path` is a file, or a folder with ``lora.safetensors``; a ``config.json`` beside the file says how the weights are
    scaled, as moshi-finetune writes it. None leaves the checkpoint's own. Raises `ModelError` where they
    cannot be used.
    """
    settings = dict(found.raw_config or {})
    if path is not None:
        found.lora_weights = path / "lora.safetensors" if path.is_dir() else path
        if not found.lora_weights.is_file():
            raise ModelError(f"lora_path names {found.lora_weights}, which does not exist; give LoRA weights")
        beside = found.lora_weights.with_name("config.json")
        if beside.is_file():
            settings |= read_config(beside)
    weights = found.lora_weights
    if weights is None:
        if settings.get("lora"):
            raise ModelError("the checkpoint's config.json asks for LoRA weights and names none; set lora_path to them")
        return {}
    if not is_safetensors(weights):
        raise ModelError(f"{weights} is not a safetensors file; LoRA weights must be")
    # The inner dimension of each pair of factors; layers with weights for each codebook hold several, stacked.
    ranks = [spec.shape[0] for name, spec in read_header(weights).items() if name.endswith("lora_A.weight")]
    if not ranks:
        raise ModelError(f"{weights} holds no LoRA weights")
    arguments = {"lora": True, "lora_rank": settings.get("lora_rank", min(ranks))}
    if "lora_scaling" in settings:
        arguments["lora_scaling"] = settings["lora_scaling"]
    return arguments
