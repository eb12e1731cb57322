"""moshi's depth transformer with fewer operators: the same numbers, bit for bit.

It runs once a codebook in every frame, from a fresh start each time, and the stock module builds its whole streaming
state anew for that. Here a frame is one tensor of zeros for all keys and values, made and dropped with the frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import attrs
import torch
from moshi.modules.transformer import StreamingMultiheadAttention, StreamingTransformer
from torch.nn.functional import scaled_dot_product_attention

from coda_moshi.lean_layer import refuses_layer, transposed

__all__ = ["LeanDepthAttention", "LeanDepthTransformer", "Turn"]


class Turn(NamedTuple):
    """One codebook's turn in one layer."""

    codebook: int
    weights: int
    """Which of the weights serve this codebook."""
    written: torch.Tensor
    """``[2, B, heads, codebooks, D]``: keys and values of this frame's turns so far, and zeros."""
    bias: torch.Tensor
    """``[1, 1, 1, codebooks]``: 0 up to this codebook, then minus infinity."""


@attrs.define(eq=False)
class _Frame:
    """Stands where a streaming module has its state."""

    written: torch.Tensor
    """``[layers, 2, B, heads, codebooks, D]``"""
    bias: torch.Tensor
    """``[codebooks, 1, 1, 1, codebooks]``"""
    codebook: int = 0


class LeanDepthAttention(StreamingMultiheadAttention):  # type: ignore[misc]  # moshi is not typed
    """`StreamingMultiheadAttention` of one codebook on those before it."""

    def prepare(self) -> None:
        """Make what is kept beside the weights."""
        pairs = zip(self.in_projs, self.out_projs, strict=True)
        self.lean_weights = [(transposed(linear_in), transposed(linear_out)) for linear_in, linear_out in pairs]

    def forward(self, x: torch.Tensor, turn: Turn) -> torch.Tensor:
        """Return rows ``[B, C]`` for rows; key and value are written into the turn."""
        weight_in, weight_out = self.lean_weights[turn.weights]
        parts = torch.mm(x, weight_in).view(len(x), 3, self.num_heads, -1).transpose(0, 1)
        turn.written.select(3, turn.codebook).copy_(parts.narrow(0, 1, 2))
        if turn.codebook:
            query, (keys, values) = parts.select(0, 0).unsqueeze(2), turn.written.unbind()
            heard = scaled_dot_product_attention(query, keys, values, turn.bias)
        else:
            # The first sees itself alone, with a weight of one.
            heard = parts.select(0, 2)
        return torch.mm(heard.reshape(x.shape), weight_out)


class LeanDepthTransformer(StreamingTransformer):  # type: ignore[misc]  # moshi is not typed
    """`StreamingTransformer` over the codebooks of a frame, one for each call; only while it streams."""

    @staticmethod
    def refuses(module: StreamingTransformer) -> str | None:
        """Return why `module` has to stay as it is, or None."""
        if module.positional_embedding != "none":
            return f"its positional embedding is {module.positional_embedding}"
        for layer in module.layers:
            reason = refuses_layer(layer)
            if reason is None and (not layer.weights_per_step or layer.self_attn.context is not None):
                reason = "its codebooks share their weights"
            if reason is not None:
                return reason
        return None

    @contextmanager
    def streaming(self, batch_size: int) -> Iterator[None]:
        """Enter a frame of so many slots."""
        attention = self.layers[0].self_attn
        codebooks, heads = attention.weights_per_step, attention.num_heads
        like = attention.in_projs[0].weight
        shape = (len(self.layers), 2, batch_size, heads, codebooks, attention.embed_dim // heads)
        self._streaming_state: Any = _Frame(like.new_zeros(shape), _biases(codebooks, like.dtype, like.device))
        try:
            yield
        finally:
            self._streaming_state = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return rows ``[B, C]`` for rows: the next codebook's turn."""
        frame = self._streaming_state
        codebook, schedule = frame.codebook, self.layers[0].weights_per_step_schedule
        weights = codebook if schedule is None else schedule[codebook]
        bias = frame.bias.select(0, codebook)
        for layer, written in zip(self.layers, frame.written, strict=True):
            x = layer(x, Turn(codebook, weights, written, bias), weights)
        frame.codebook += 1
        return x


@lru_cache(maxsize=8)
def _biases(codebooks: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    later = torch.full((codebooks, codebooks), -torch.inf, dtype=dtype, device=device).triu(1)
    return later[:, None, None, None]
