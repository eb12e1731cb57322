"""Loading a checkpoint through the moshi package, checked first: files, architecture, memory."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import torch
from moshi.models import LMModel, MimiModel, loaders

from coda_core.errors import ModelError
from coda_core.text import Vocabulary
from coda_moshi.blueprint import Blueprint, draw_blueprint
from coda_moshi.budget import device_budget
from coda_moshi.checkpoint import find_checkpoint
from coda_moshi.eight_bit import check_eight_bit, load_eight_bit
from coda_moshi.faults import device_faults
from coda_moshi.fingerprint import fingerprint
from coda_moshi.injection_rule import InjectionRule
from coda_moshi.lora import add_lora
from coda_moshi.sampling_settings import SamplingSettings
from coda_moshi.vocabulary import read_tokenizer, read_vocabulary
from coda_moshi.wording import Wording

if TYPE_CHECKING:
    from coda_core.interfaces import Context
    from coda_moshi.config import MoshiConfig

__all__ = ["LoadedModel", "choose_device", "choose_dtype", "load_model"]

_DTYPES: Final = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


@attrs.frozen(kw_only=True, eq=False)
class LoadedModel:
    """A checkpoint on its device, ready to be streamed."""

    mimi: MimiModel
    lm: LMModel
    vocabulary: Vocabulary
    wording: Wording
    rule: InjectionRule
    sampling: SamplingSettings
    """For conversations that ask for nothing else."""
    device: torch.device
    fingerprint: str


def load_model(config: MoshiConfig, context: Context, device: torch.device) -> LoadedModel:
    """Load ``config.model_path`` onto `device`, for ``config.conversations`` slots.

    Raises `ModelError` where the checkpoint cannot be found, read or served, `OutOfMemory` where it does not fit.
    """
    dtype = choose_dtype(config.dtype, device)
    found = find_checkpoint(config, context)
    lora_path = None if config.lora_path is None else context.base_dir / Path(config.lora_path).expanduser()
    lora = add_lora(found, lora_path)
    blueprint = draw_blueprint(found, lora, config, device=device, dtype=dtype)
    if blueprint.eight_bit:
        check_eight_bit(found, device, fuse_lora=config.fuse_lora)
    vocabulary = _vocabulary(found, blueprint, context)
    rule = InjectionRule.of_checkpoint(found.raw_config or {})
    device_budget(device, config.vram_allocation).check(blueprint.plan)
    context.logger.info("%s", blueprint)
    for note in blueprint.plan.notes:
        context.logger.warning("%s", note)
    what = f"loading {config.model_path}"
    sizes = [path.stat().st_size for path in (found.mimi_weights, found.moshi_weights)]
    context.progress(what, 0, sum(sizes))
    with device_faults(device, what):
        mimi = found.get_mimi(device=device)
        context.progress(what, sizes[0], sum(sizes))
        lm = _language_model(found, lora | {"context": blueprint.context}, config, blueprint, device, dtype)
        context.progress(what, sum(sizes), sum(sizes))
    options = {"lora": lora, "fused": bool(lora) and config.fuse_lora}
    if blueprint.context != blueprint.whole_context:
        options["context"] = blueprint.context
    if blueprint.eight_bit:
        options["eight_bit"] = True
    if rule != InjectionRule():
        options["injection"] = attrs.asdict(rule)
    return LoadedModel(
        mimi=mimi,
        lm=lm,
        vocabulary=vocabulary,
        wording=Wording(read_tokenizer(found.tokenizer), rule),
        rule=rule,
        sampling=blueprint.sampling,
        device=device,
        fingerprint=_fingerprint(found, dtype, options),
    )


def _language_model(
    found: loaders.CheckpointInfo,
    arguments: dict[str, Any],
    config: MoshiConfig,
    blueprint: Blueprint,
    device: torch.device,
    dtype: torch.dtype,
) -> LMModel:
    if blueprint.eight_bit:
        return load_eight_bit(found, arguments, device=device, dtype=dtype)
    return found.get_moshi(device=device, dtype=dtype, fuse_lora=config.fuse_lora, lm_kwargs_overrides=arguments)


def _vocabulary(found: loaders.CheckpointInfo, blueprint: Blueprint, context: Context) -> Vocabulary:
    vocabulary = read_vocabulary(found.tokenizer, padding=blueprint.padding, end_of_padding=blueprint.end_of_padding)
    if len(vocabulary.pieces) != blueprint.text_card:
        context.logger.warning(
            "the tokenizer has %d pieces and the language model writes %d tokens: those beyond stand for no text",
            len(vocabulary.pieces),
            blueprint.text_card,
        )
    return vocabulary


def choose_device(wanted: str) -> torch.device:
    """Return the device of the setting; raises `ModelError` for a GPU that is not there."""
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ModelError(
            f"device is {wanted!r}, but torch finds no CUDA here. Set device = 'cpu' or 'auto', or see to the driver "
            "and to a torch that was built for it."
        )
    device = torch.device("cuda" if wanted == "auto" else wanted)
    index = torch.cuda.current_device() if device.index is None else device.index
    if index >= torch.cuda.device_count():
        raise ModelError(f"device is {wanted!r}, but there are {torch.cuda.device_count()} CUDA devices, from cuda:0")
    return torch.device("cuda", index)


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """Return the dtype of the setting."""
    if wanted == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return _DTYPES[wanted]


def _fingerprint(found: loaders.CheckpointInfo, dtype: torch.dtype, options: dict[str, Any]) -> str:
    files = [found.moshi_weights, found.mimi_weights, found.tokenizer]
    if found.lora_weights is not None:
        files.append(found.lora_weights)
    described = json.dumps([found.lm_config, found.mimi_config, options], sort_keys=True)
    return fingerprint(files, (described, str(dtype), f"moshi {version('moshi')}"))
