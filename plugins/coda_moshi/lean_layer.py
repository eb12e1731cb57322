"""moshi's transformer layers and what they are made of, with fewer operators: the same numbers, bit for bit.

All work on rows, ``[N, C]`` with ``N = B * T``, and multiply by transposed views of the weights that are made once:
one operator where a linear layer on ``[B, T, C]`` dispatches six.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from moshi.modules.gating import ActivationGating
from moshi.modules.transformer import (
    LayerNormF32,
    LayerScale,
    RMSNorm,
    StreamingMultiheadAttention,
    StreamingTransformerLayer,
)
from torch import nn

__all__ = ["NOT_PLAIN", "LeanGating", "LeanLayer", "LeanRMSNorm", "is_plain", "refuses_layer", "transposed"]

NOT_PLAIN: Final = "a linear layer is quantised, or has a bias or LoRA weights beside its own"


def is_plain(linear: nn.Module) -> bool:
    """Return whether a linear layer is a weight and nothing else."""
    return type(linear) is nn.Linear and linear.bias is None


def transposed(linear: nn.Linear) -> torch.Tensor:
    """Return the weight of a linear layer as ``[in, out]``, a view."""
    return linear.weight.detach().t()


class LeanRMSNorm(RMSNorm):  # type: ignore[misc]  # moshi is not typed
    """`RMSNorm` in float32, with its constants as tensors: a Python number is converted by every operator it meets."""

    @staticmethod
    def refuses(module: RMSNorm) -> str | None:
        """Return why `module` has to stay as it is, or None."""
        return None if module.alpha.dtype == torch.float32 else "its norm is not in float32"

    def prepare(self) -> None:
        """Make what is kept beside the weights."""
        self.lean_alpha = self.alpha.detach().view(-1)
        self.lean_size = self.lean_alpha.new_tensor(len(self.lean_alpha))
        self.lean_eps = self.lean_alpha.new_tensor(self.eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``[..., C]`` for ``[..., C]``."""
        wide = x.float()
        scale = (wide * wide).sum(-1, keepdim=True).div_(self.lean_size).add_(self.lean_eps).rsqrt_()
        y: torch.Tensor = (self.lean_alpha * scale).mul_(wide).to(x.dtype)
        return y


class LeanGating(ActivationGating):  # type: ignore[misc]  # moshi is not typed
    """`ActivationGating` on rows."""

    def prepare(self) -> None:
        """Make what is kept beside the weights."""
        self.lean_weights = (transposed(self.linear_in), transposed(self.linear_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``[N, C]`` for ``[N, C]``."""
        weight_in, weight_out = self.lean_weights
        gate, value = torch.mm(x, weight_in).chunk(2, 1)
        return torch.mm(self.activation(gate).mul_(value), weight_out)


class LeanLayer(StreamingTransformerLayer):  # type: ignore[misc]  # moshi is not typed
    """`StreamingTransformerLayer` on rows; its attention is told where it stands instead of looking for it."""

    def prepare(self) -> None:
        """Make what is kept beside the weights."""
        scales = (self.layer_scale_1, self.layer_scale_2)
        self.lean_scales = tuple(scale.scale.detach() if isinstance(scale, LayerScale) else None for scale in scales)
        if self.gating is None:
            self.lean_weights = (transposed(self.linear1), transposed(self.linear2))

    def forward(self, x: torch.Tensor, place: Any, weights: int = 0) -> torch.Tensor:
        """Return ``[N, C]`` for ``[N, C]``.

        `place` is what the attention takes; `weights` says which gating serves where a step has weights of its own.
        """
        attention_scale, forward_scale = self.lean_scales
        y = self.self_attn(self.norm1(x), place)
        x = x + (y if attention_scale is None else attention_scale * y)
        y = self.norm2(x)
        if self.gating is None:
            weight_in, weight_out = self.lean_weights
            y = torch.mm(self.activation(torch.mm(y, weight_in)), weight_out)
        else:
            y = (self.gating[weights] if self.weights_per_step else self.gating)(y)
        out: torch.Tensor = x + (y if forward_scale is None else forward_scale * y)
        return out


def refuses_layer(layer: nn.Module) -> str | None:
    """Return why `layer` cannot become a `LeanLayer`, or None."""
    if type(layer) is not StreamingTransformerLayer or layer.skip_self_attn or layer.cross_attention is not None:
        return "a layer is not just self-attention and feed-forward"
    attention = layer.self_attn
    if type(attention) is not StreamingMultiheadAttention or not attention.causal or attention.kv_repeat != 1:
        return "its attention is not plain and causal"
    linears = [*attention.in_projs, *attention.out_projs]
    for gating in layer.gating if layer.weights_per_step else [layer.gating]:
        if gating is None:
            linears += [layer.linear1, layer.linear2]
        elif type(gating) is ActivationGating:
            linears += [gating.linear_in, gating.linear_out]
        else:
            return "it has a gating that is not known"
    if not all(is_plain(linear) for linear in linears):
        return NOT_PLAIN
    if len({linear.weight.dtype for linear in linears}) > 1:
        return "its linear layers differ in dtype"
    for norm in (layer.norm1, layer.norm2):
        if type(norm) is RMSNorm and LeanRMSNorm.refuses(norm) is not None:
            return LeanRMSNorm.refuses(norm)
        if type(norm) not in (nn.LayerNorm, LayerNormF32, RMSNorm):
            return "it has a norm that is not known"
    if not all(type(scale) in (nn.Identity, LayerScale) for scale in (layer.layer_scale_1, layer.layer_scale_2)):
        return "it has a layer scale that is not known"
    return None
