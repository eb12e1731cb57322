"""A model without numbers: built from a checkpoint's config to learn what it is, what it takes and whether it fits.

Built on torch's meta device by the same classes that serve later, it costs no memory and a second at most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs
import torch
from moshi.models import LMModel, MimiModel, loaders

from coda_core.errors import ModelError
from coda_moshi.budget import Need
from coda_moshi.checkpoint import is_safetensors
from coda_moshi.slot_state import SlotState
from coda_moshi.weights import check_fit, check_lora_fit

__all__ = ["Blueprint", "draw_blueprint"]

_META = torch.device("meta")
_Model = TypeVar("_Model", LMModel, MimiModel)


@attrs.frozen(kw_only=True)
class Blueprint:
    """What a checkpoint's config says, as far as loading asks."""

    need: Need
    text_card: int
    """Text tokens that it writes."""
    card: int
    """Codes of an audio codebook."""
    padding: int
    end_of_padding: int


def draw_blueprint(
    found: loaders.CheckpointInfo,
    lora: Mapping[str, Any],
    *,
    device: torch.device,
    dtype: torch.dtype,
    conversations: int,
) -> Blueprint:
    """Return what serving a checkpoint to so many conversations comes to, its weights' headers checked.

    `lora` holds the arguments that `coda_moshi.lora.add_lora` returned.

    Raises `ModelError` where config and weights describe no model, or codec and language model do not go together.
    """
    without_lora = {"lora": False}
    lm = _build(
        "language model",
        lambda: loaders.get_moshi_lm(
            None, lm_kwargs=found.lm_config, device=_META, dtype=dtype, lm_kwargs_overrides=without_lora
        ),
    )
    mimi = _build("codec", lambda: loaders.get_mimi(None, found.mimi_config, device=_META, num_codebooks=1))
    _check_pair(lm, mimi)
    weights = _weights_bytes(mimi, found.mimi_weights, torch.float32)
    of_lm = _weights_bytes(lm, found.moshi_weights, dtype)
    if device.type == "cuda":
        # The file is brought to the device as it is, and cast there.
        of_lm = max(of_lm, found.moshi_weights.stat().st_size)
    if found.lora_weights is not None:
        rank, scaling = lora["lora_rank"], lora.get("lora_scaling", 1.0)
        _build("LoRA model", lambda: loaders.get_lora_moshi(lm, None, rank, scaling, dtype=dtype, device=_META))
        check_lora_fit(lm, found.lora_weights, dtype)
        of_lm += found.lora_weights.stat().st_size
    state = 0
    for module in (lm, mimi):
        module.streaming_forever(conversations)
        state += SlotState(module.get_streaming_state()).size_bytes()
    return Blueprint(
        need=Need(weights=weights + of_lm, state=state, conversations=conversations),
        text_card=lm.text_linear.out_features,
        card=lm.card,
        padding=lm.text_padding_token_id,
        end_of_padding=lm.end_of_text_padding_id,
    )


def _build(what: str, build: Callable[[], _Model]) -> _Model:
    try:
        # Mimi's constructors take no device.
        with _META:
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


def _weights_bytes(model: LMModel | MimiModel, path: Path, dtype: torch.dtype) -> int:
    if not is_safetensors(path):
        # Nothing is known of such a file before it is unpickled.
        return path.stat().st_size
    check_fit(model, path, dtype)
    tensors = (*model.parameters(), *model.buffers())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
