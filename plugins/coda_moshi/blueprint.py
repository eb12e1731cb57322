"""A model without numbers: built from a checkpoint's config to learn what it is, what it takes and whether it fits.

Built on torch's meta device by the same classes that serve later, it costs no memory and a second at most.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
import torch
from moshi.models import LMModel, MimiModel, loaders

from coda_core.errors import ModelError
from coda_core.memory import Elastic, MemoryPart, MemoryPlan, size_words
from coda_moshi.checkpoint import is_safetensors
from coda_moshi.eight_bit import stored_in_eight_bit
from coda_moshi.footprint import conversation_parts, fast_step_part, fixed_parts, weights_bytes
from coda_moshi.numberless import numberless, promise_int8
from coda_moshi.sampling_settings import SamplingSettings
from coda_moshi.weights import check_fit, check_lora_fit, read_header

if TYPE_CHECKING:
    from coda_moshi.config import MoshiConfig

__all__ = ["Blueprint", "draw_blueprint"]

_SHORTEST_CONTEXT: Final = 25
"""The smallest value of the setting, in steps; two seconds."""

_META: Final = torch.device("meta")
_Model = TypeVar("_Model", LMModel, MimiModel)


@attrs.frozen(kw_only=True)
class Blueprint:
    """What a checkpoint's config and the stack's settings come to."""

    plan: MemoryPlan
    sampling: SamplingSettings
    """For conversations that ask for nothing else."""
    text_card: int
    """Text tokens that it writes."""
    context: int
    """Steps that the language model remembers."""
    whole_context: int
    """The same, if the checkpoint has its way."""
    eight_bit: bool
    """Whether its linear layers have 8-bit weights when it serves."""
    padding: int
    end_of_padding: int

    def __str__(self) -> str:
        plan = self.plan
        return (
            f"{plan.subject}: {size_words(plan.weights_bytes)} of weights, {size_words(plan.fixed_bytes)} beside them "
            f"and {plan.conversations} x {size_words(plan.bytes_per_conversation)} for conversations"
        )


def draw_blueprint(
    found: loaders.CheckpointInfo,
    lora: Mapping[str, Any],
    config: MoshiConfig,
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> Blueprint:
    """Return what serving a checkpoint comes to, its weights' headers checked where it has weights.

    `lora` holds the arguments that `coda_moshi.lora.add_lora` returned. Where `found` names no files, as for a
    checkpoint that is not on this machine, weights are reckoned from its config alone.

    Raises `ModelError` where config and weights describe no model, codec and language model do not go together, or a
    setting asks for what the model cannot do.
    """
    arguments = dict(loaders._lm_kwargs if found.lm_config is None else found.lm_config)
    stored_int8 = stored_in_eight_bit(found)
    arguments.pop("quantize", None)
    eight_bit = stored_int8 or config.quantize
    whole_context = _whole_context(arguments)
    context = _context(config, whole_context)
    arguments |= {"lora": False, "context": context}
    # The keys and values of 8-bit layers are float16, whatever the dtype.
    of_state = torch.float16 if eight_bit else dtype
    lm = _build("language model", lambda: loaders.get_moshi_lm(None, arguments, device=_META, dtype=of_state))
    mimi = _build("codec", lambda: loaders.get_mimi(None, found.mimi_config, device=_META, num_codebooks=1))
    _check_pair(lm, mimi)
    sampling = SamplingSettings.of_stack(
        config, found.lm_gen_config, text_card=lm.text_linear.out_features, card=lm.card
    )
    each = conversation_parts(lm, mimi, sampling)
    fixed = fixed_parts(lm, mimi, sampling, device.type)
    weights, loading = _weigh(lm, found, lora, config, device=device, dtype=dtype, stored_int8=stored_int8)
    codec = _weights("codec", mimi, found.mimi_weights, torch.float32)
    if config.fast_step and device.type == "cpu":
        fixed = (*fixed, fast_step_part(lm, mimi))
    precision = "8 bits" if eight_bit else str(dtype).removeprefix("torch.")
    return Blueprint(
        plan=MemoryPlan(
            subject=f"{config.model_path} on {device} in {precision}",
            parts=(weights, codec, *fixed, *each),
            conversations=config.conversations,
            loading_bytes=loading,
            elastic=Elastic(
                setting="context",
                value=context,
                minimum=min(_SHORTEST_CONTEXT, context),
                step_bytes=each[0].size_bytes // context,
            ),
            notes=_price(context, whole_context, mimi.frame_rate),
        ),
        sampling=sampling,
        text_card=lm.text_linear.out_features,
        context=context,
        whole_context=whole_context,
        eight_bit=eight_bit,
        padding=lm.text_padding_token_id,
        end_of_padding=lm.end_of_text_padding_id,
    )


def _whole_context(arguments: Mapping[str, Any]) -> int:
    whole = arguments.get("context")
    if type(whole) is not int or whole < 1:
        raise ModelError(f"the checkpoint's config.json: context is {whole!r}; expected a number of steps")
    return whole


def _context(config: MoshiConfig, whole: int) -> int:
    if config.context is not None and config.context > whole:
        raise ModelError(
            f"context is {config.context}; the checkpoint remembers {whole} steps, and was not trained for more"
        )
    return config.context or whole


def _price(context: int, whole: int, frame_rate: float) -> tuple[str, ...]:
    if context == whole:
        return ()
    return (
        f"context = {context}: Moshi remembers the last {context / frame_rate:.1f} s of a conversation instead of "
        f"{whole / frame_rate:.1f} s. What was said before is gone for it.",
    )


def _weigh(
    lm: LMModel,
    found: loaders.CheckpointInfo,
    lora: Mapping[str, Any],
    config: MoshiConfig,
    *,
    device: torch.device,
    dtype: torch.dtype,
    stored_int8: bool,
) -> tuple[MemoryPart, int]:
    """Return the language model's weights as they serve, and the bytes of the device that loading takes beside them."""
    lm.to(dtype)
    if stored_int8:
        promise_int8(lm)
    part = _weights("language model", lm, found.moshi_weights, dtype)
    factors = 0
    if found.lora_weights is not None:
        factors = _lora_bytes(deepcopy(lm), found.lora_weights, lora, dtype)
        if not config.fuse_lora:
            return attrs.evolve(part, size_bytes=part.size_bytes + factors), 0
    if stored_int8:
        # moshi loads all floats as float32, and what is not quantised is cast afterwards.
        floats = sum(weight.numel() for weight in lm.parameters() if weight.dtype == dtype)
        return part, floats * (torch.float32.itemsize - dtype.itemsize)
    if config.quantize:
        # Loaded beside the device, and brought there layer by layer.
        largest = max(weight.numel() for weight in lm.parameters())
        promise_int8(lm)
        return attrs.evolve(part, size_bytes=weights_bytes(lm)), 2 * largest * dtype.itemsize
    # The file is brought to a GPU as it is, and cast there.
    cast = max(0, _stored_bytes(found.moshi_weights) - part.size_bytes) if device.type == "cuda" else 0
    return part, cast + factors


def _lora_bytes(lm: LMModel, path: Path, lora: Mapping[str, Any], dtype: torch.dtype) -> int:
    before = weights_bytes(lm)
    rank, scaling = lora["lora_rank"], lora.get("lora_scaling", 1.0)
    _build("LoRA model", lambda: loaders.get_lora_moshi(lm, None, rank, scaling, dtype=dtype, device=_META))
    check_lora_fit(lm, path, dtype)
    return weights_bytes(lm) - before


def _stored_bytes(path: Path | None) -> int:
    if path is None or not is_safetensors(path):
        return 0
    return sum(math.prod(spec.shape) * spec.dtype.itemsize for spec in read_header(path).values())


def _weights(name: str, model: LMModel | MimiModel, path: Path | None, dtype: torch.dtype) -> MemoryPart:
    if path is not None and not is_safetensors(path):
        # Nothing is known of such a file before it is unpickled.
        return MemoryPart(name=name, kind="weights", size_bytes=path.stat().st_size, estimated=True)
    if path is not None:
        check_fit(model, path, dtype)
    return MemoryPart(name=name, kind="weights", size_bytes=weights_bytes(model))


def _build(what: str, build: Callable[[], _Model]) -> _Model:
    try:
        with numberless():
            return build()
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}".strip(": ")
        raise ModelError(
            f"the checkpoint's config does not describe a {what} of the installed moshi package ({reason}). "
            "It is damaged, or made for another version of moshi."
        ) from error
    except ImportError as error:
        raise ModelError(f"the checkpoint needs a package that is not installed: {error}") from error


def _check_pair(lm: LMModel, mimi: MimiModel) -> None:
    codebooks = max(lm.dep_q, lm.n_q - lm.dep_q)
    if mimi.total_codebooks < codebooks:
        raise ModelError(
            f"the codec has {mimi.total_codebooks} codebooks and the language model needs {codebooks}; "
            "take both from the same checkpoint"
        )
    if mimi.cardinality != lm.card:
        raise ModelError(
            f"the codec has {mimi.cardinality} codes in a codebook and the language model knows {lm.card}; "
            "take both from the same checkpoint"
        )
