"""Language models whose linear layers have 8-bit weights: checkpoints that were stored so, and others made so here.

Both are moshi's own layers (`moshi.utils.quantize`) over bitsandbytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch
from moshi.models import LMModel, loaders
from moshi.utils.quantize import QLinear

from coda_core.errors import ModelError

__all__ = ["check_eight_bit", "load_eight_bit", "stored_in_eight_bit"]


def stored_in_eight_bit(found: loaders.CheckpointInfo) -> bool:
    """Return whether the checkpoint's own weights have 8 bits."""
    return bool((found.lm_config or {}).get("quantize"))


def check_eight_bit(found: loaders.CheckpointInfo, device: torch.device, *, fuse_lora: bool) -> None:
    """Raise `ModelError` where 8-bit weights cannot be served."""
    wanted = "the checkpoint has 8-bit weights" if stored_in_eight_bit(found) else "quantize asks for 8-bit weights"
    if device.type != "cuda":
        raise ModelError(
            f"{wanted}, which moshi serves on CUDA alone, and the device is {device}. Set device = 'cuda', or take a "
            "checkpoint in bfloat16 without quantize."
        )
    if find_spec("bitsandbytes") is None:
        raise ModelError(f"{wanted}, which needs the package bitsandbytes: pip install bitsandbytes")
    if found.lora_weights is not None and (stored_in_eight_bit(found) or not fuse_lora):
        raise ModelError(
            f"{wanted}, beside which moshi serves no LoRA weights. Take a checkpoint in bfloat16 with fuse_lora = true "
            "and quantize = true: then they are added before."
        )


def load_eight_bit(
    found: loaders.CheckpointInfo,
    arguments: Mapping[str, Any],
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> LMModel:
    """Return the language model on `device`; what is not quantised has `dtype`.

    `arguments` override those in the checkpoint's config.
    """
    if stored_in_eight_bit(found):
        # moshi casts the scales to the dtype that it loads in, and refuses to compute with any but float32.
        model = found.get_moshi(device=device, dtype=torch.float32, lm_kwargs_overrides=arguments)
        for module in model.modules():
            if not isinstance(module, QLinear):
                _cast_own(module, dtype)
        return _with_sizes(model)
    model = found.get_moshi(device="cpu", dtype=dtype, fuse_lora=True, lm_kwargs_overrides=arguments)
    # Layer by layer: the whole of it at once may be what the device has no room for.
    for module in tuple(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.Linear):
                setattr(module, name, QLinear(child.to(device)))
    return _with_sizes(model.to(device))


def _with_sizes(model: LMModel) -> LMModel:
    """Give 8-bit layers the numbers by which a linear one tells its size."""
    for module in model.modules():
        if isinstance(module, QLinear):
            module.out_features, module.in_features = module.weight.shape
    return model


def _cast_own(module: torch.nn.Module, dtype: torch.dtype) -> None:
    for weight in module.parameters(recurse=False):
        weight.data = weight.data.to(dtype)
