"""The fast step: modules of a loaded model exchanged for leaner ones.

A stock step is some 2,800 small operators, and on a CPU a small model spends its time dispatching them. The classes in
the `lean_` modules of this package are moshi's own with another ``forward``: the same weights, the same streaming
state, the same numbers to the last bit, and a third of the operators. A module becomes lean by changing its class, so
all that knows moshi's modules (names, states, masks, hooks) goes on as before.

Each class says which configurations it knows; a module with any other stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import torch
from moshi.models import LMModel, MimiModel
from moshi.modules.conv import StreamingConv1d, StreamingConvTranspose1d
from moshi.modules.transformer import RMSNorm, StreamingTransformer
from moshi.quantization.core_vq import ResidualVectorQuantization
from torch import nn

from coda_moshi.lean_convolution import LeanConv1d, LeanConvTranspose1d
from coda_moshi.lean_depth import LeanDepthAttention, LeanDepthTransformer
from coda_moshi.lean_language_model import LeanLanguageModel
from coda_moshi.lean_layer import LeanGating, LeanLayer, LeanRMSNorm
from coda_moshi.lean_quantizer import LeanResidualQuantization
from coda_moshi.lean_transformer import LeanAttention, LeanTransformer

__all__ = ["make_lean"]

_LEAN: Final[dict[type[nn.Module], Any]] = {
    LMModel: LeanLanguageModel,
    ResidualVectorQuantization: LeanResidualQuantization,
    RMSNorm: LeanRMSNorm,
    StreamingConv1d: LeanConv1d,
    StreamingConvTranspose1d: LeanConvTranspose1d,
    StreamingTransformer: LeanTransformer,
}
"""By the exact class of a module: one that is derived from it may do something else."""


def make_lean(mimi: MimiModel, lm: LMModel) -> dict[str, str]:
    """Make lean what can be, of a model that is loaded and does not stream yet; from then on it can only stream.

    Returns the modules that stay as they are, by name, and why.
    """
    refused: dict[str, str] = {}
    exchanges: list[tuple[Any, Any]] = []
    for prefix, model in (("mimi", mimi), ("lm", lm)):
        for name, module in model.named_modules():
            lean = _LEAN.get(type(module))
            # The depth transformer goes with the language model.
            if lean is None or module is lm.depformer:
                continue
            reason = lean.refuses(module)
            if reason is None:
                exchanges += _with_parts(module, lean)
            else:
                refused[f"{prefix}.{name}".removesuffix(".")] = reason
    with torch.inference_mode():
        for module, lean in exchanges:
            module.__class__ = lean
            if hasattr(lean, "prepare"):
                module.prepare()
    return refused


def _with_parts(module: Any, lean: Any) -> Iterator[tuple[Any, Any]]:
    """Yield a module and those of its parts that only go with it, each with the class that it gets."""
    yield module, lean
    if lean is LeanLanguageModel:
        yield from _with_parts(module.depformer, LeanDepthTransformer)
    elif lean in (LeanTransformer, LeanDepthTransformer):
        for layer in module.layers:
            yield layer, LeanLayer
            yield layer.self_attn, LeanAttention if lean is LeanTransformer else LeanDepthAttention
            gatings = layer.gating if layer.weights_per_step else [layer.gating]
            yield from ((gating, LeanGating) for gating in gatings if gating is not None)
