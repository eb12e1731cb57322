"""What ``coda plan`` says of a stack with Moshi: nothing is loaded, and neither GPU, weights nor network are needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from moshi.models import loaders

from coda_core.errors import ModelError
from coda_core.memory import MemoryPlan, parse_size
from coda_moshi.blueprint import draw_blueprint
from coda_moshi.budget import device_budget
from coda_moshi.checkpoint import find_checkpoint, is_repository, read_config, refuse_other_trades
from coda_moshi.hub import cached_folder, hub_answers, hub_config, hub_faults
from coda_moshi.loading import choose_dtype
from coda_moshi.lora import add_lora
from coda_moshi.tiny import LM_CONFIG, MIMI_CONFIG, NOT_ARGUMENTS

if TYPE_CHECKING:
    from coda_core.interfaces import Context
    from coda_moshi.config import MoshiConfig

__all__ = ["plan_moshi"]

_RELEASED: Final[Mapping[str, Mapping[str, Any]]] = {
    f"kyutai/moshi{voice}-pytorch-{kind}": settings
    for voice in ("ko", "ka")
    for kind, settings in (("bf16", {}), ("q8", {"quantize": True}))
}
"""Repositories of Kyutai's dialogue models, and how each differs from what the moshi package takes for granted."""


def plan_moshi(config: MoshiConfig, context: Context) -> MemoryPlan:
    """Return what serving ``config.model_path`` will take.

    Files that are on this machine are looked at; of others the config is enough, which is known for Kyutai's own and
    fetched for the rest. Raises `ModelError` where there is no such checkpoint, or a setting cannot be met.
    """
    found, here = _described(config, context)
    device, assumed = _device(config.device, here=here)
    lora_path = None if config.lora_path is None else context.base_dir / Path(config.lora_path).expanduser()
    lora = add_lora(found, lora_path) if here or lora_path is not None else {}
    plan = draw_blueprint(found, lora, config, device=device, dtype=choose_dtype(config.dtype, device)).plan
    notes = [*assumed, *plan.notes]
    if not here:
        notes.insert(0, "Reckoned from the checkpoint's config: its files are not on this machine.")
    budget, source = _budget(device, config.vram_allocation, notes)
    return attrs.evolve(plan, budget_bytes=budget, budget_source=source, notes=tuple(notes))


def _described(config: MoshiConfig, context: Context) -> tuple[loaders.CheckpointInfo, bool]:
    """Return a checkpoint, and whether its files are here; where they are not, it names none."""
    if config.model_path == "tiny":
        arguments = {key: value for key, value in LM_CONFIG.items() if key not in NOT_ARGUMENTS}
        return _without_files(arguments, LM_CONFIG, dict(MIMI_CONFIG)), True
    if not is_repository(config.model_path) or (context.base_dir / Path(config.model_path).expanduser()).exists():
        return find_checkpoint(config, context), True
    try:
        folder = cached_folder(config.model_path, config.revision)
        return find_checkpoint(attrs.evolve(config, model_path=str(folder)), context), True
    except (LocalEntryNotFoundError, ModelError):
        pass  # not fetched yet, or not wholly
    released = _RELEASED.get(config.model_path)
    if released is not None:
        return _without_files({**loaders._lm_kwargs, **released}, {}, None), False
    return _from_hub(config, context), False


def _from_hub(config: MoshiConfig, context: Context) -> loaders.CheckpointInfo:
    with hub_faults(config.model_path, config.revision):
        if not hub_answers():
            raise ModelError(
                f"{config.model_path} is not on this machine, the hub does not answer, and Coda does not know its "
                "config by heart. Connect to the network, or set model_path to a folder that holds the checkpoint."
            )
        path = hub_config(config.model_path, config.revision)
    raw = {} if path is None else read_config(path)
    if path is not None:
        refuse_other_trades(raw, config.model_path)
    arguments = {key: value for key, value in raw.items() if key not in NOT_ARGUMENTS | {"lora_name", "model_id"}}
    # Every dialogue model so far has the released codec, so its config is not fetched.
    return _without_files(arguments or dict(loaders._lm_kwargs), raw, None)


def _without_files(
    arguments: dict[str, Any], raw: Mapping[str, Any], mimi: dict[str, Any] | None
) -> loaders.CheckpointInfo:
    advice = raw.get("lm_gen_config", {})
    return loaders.CheckpointInfo(None, None, None, arguments, dict(raw), mimi, lm_gen_config=advice)


def _device(wanted: str, *, here: bool) -> tuple[torch.device, list[str]]:
    """Return the device to plan for, which need not be there, and what was assumed."""
    if wanted == "auto" and not torch.cuda.is_available():
        if here:
            return torch.device("cpu"), ["There is no CUDA device here, so device = 'auto' is the CPU."]
        note = "There is no CUDA device here either: planned for one. device = 'cpu' plans for this machine."
        return torch.device("cuda"), [note]
    return torch.device("cuda" if wanted == "auto" else wanted), []


def _budget(device: torch.device, allocation: str | None, notes: list[str]) -> tuple[int | None, str]:
    """Return what may be taken and where that is from; adds to `notes` what is wrong with it."""
    if device.type == "cpu" or (torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()):
        budget = device_budget(device, allocation)
        try:
            return budget.allowed, budget.source
        except ModelError as error:
            notes.append(f"{error}.")
    if allocation is None:
        return None, ""
    size = parse_size(allocation)
    if size is None:
        notes.append(f"vram_allocation = {allocation!r} is a share of a GPU that is not here: --budget gives a size.")
    return size, f"vram_allocation = {allocation!r}"
