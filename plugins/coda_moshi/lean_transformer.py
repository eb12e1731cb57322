"""moshi's streaming transformers with fewer operators: the same numbers, bit for bit, and the same state.

A stock transformer works out in every layer where a step stands in its ring of keys and values: place, rotation, mask.
All layers stand at the same place, so here that is worked out once a step, as a `Window`. Invariants:

- Whatever is rounded is computed by the stock module's operations in its order, so outputs are equal to its own.
- State is the stock module's own: the two can take turns, and a slot that was parked by one resumes on the other.
- A ring is as long as the context, so whatever it holds that is no later than a query is within the query's reach.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from moshi.modules.transformer import StreamingMultiheadAttention, StreamingTransformer
from torch.nn.functional import scaled_dot_product_attention

from coda_moshi.lean_layer import refuses_layer, transposed

__all__ = ["LeanAttention", "LeanTransformer", "Window"]


class Window(NamedTuple):
    """Where the ``T`` positions of a step stand in rings of ``R`` positions, for all layers of a transformer."""

    place: torch.Tensor
    """int64 ``[2, B, heads, T, D]``: where along the ring each number of the new keys and values goes."""
    cosine: torch.Tensor
    """float32 ``[B, T, 1, 1, D / 2, 2]``"""
    sine: torch.Tensor
    """The same; negative for the first of each pair."""
    bias: torch.Tensor
    """``[B, 1, T, R]``: 0 where a query sees a key, else minus infinity."""


class LeanAttention(StreamingMultiheadAttention):  # type: ignore[misc]  # moshi is not typed
    """`StreamingMultiheadAttention` of a step's positions on a ring, with rotary positions; only while it streams."""

    def prepare(self) -> None:
        """Make what is kept beside the weights."""
        self.lean_weights = (transposed(self.in_projs[0]), transposed(self.out_projs[0]))

    def forward(self, x: torch.Tensor, window: Window) -> torch.Tensor:
        """Return rows ``[B * T, C]`` for rows; keys and values are written into the ring."""
        weight_in, weight_out = self.lean_weights
        batch, _, steps, _ = window.bias.shape
        projected = torch.mm(x, weight_in).view(batch, steps, 3, self.num_heads, -1)
        pairs = projected.narrow(2, 0, 2).view(batch, steps, 2, self.num_heads, -1, 2)
        turned = pairs.flip(-1) * window.sine
        torch.add(pairs * window.cosine, turned, out=pairs)
        parts = projected.permute(2, 0, 3, 1, 4)
        ring = self._streaming_state.kv_cache.cache
        ring.scatter_(3, window.place, parts.narrow(0, 1, 2))
        keys, values = ring.unbind()
        heard = scaled_dot_product_attention(parts.select(0, 0), keys, values, window.bias)
        return torch.mm(heard.transpose(1, 2).reshape(x.shape), weight_out)


class LeanTransformer(StreamingTransformer):  # type: ignore[misc]  # moshi is not typed
    """`StreamingTransformer` of lean layers; only while it streams."""

    @staticmethod
    def refuses(module: StreamingTransformer) -> str | None:
        """Return why `module` has to stay as it is, or None."""
        if module.positional_embedding != "rope":
            return f"its positional embedding is {module.positional_embedding}"
        for layer in module.layers:
            reason = refuses_layer(layer)
            if reason is None and (layer.weights_per_step or layer.self_attn.context is None):
                reason = "it has no context of its own"
            if reason is not None:
                return reason
        return None

    def forward(self, x: torch.Tensor, cross_attention_src: torch.Tensor | None = None) -> torch.Tensor:
        """Return ``[B, T, C]`` for ``[B, T, C]``."""
        if cross_attention_src is not None:
            raise ValueError("this transformer has no cross-attention")
        state = self._streaming_state
        steps = x.shape[1]
        rows = x.reshape(-1, x.shape[2])
        ends = torch.add(state.offsets, state.exec_mask, alpha=steps)
        window = self._window(state.offsets, ends, steps)
        for layer in self.layers:
            rows = layer(rows, window)
        state.offsets.copy_(ends)
        for layer in self.layers:
            attention = layer.self_attn._streaming_state
            attention.offset.copy_(ends)
            attention.kv_cache.end_offset.copy_(ends)
        return rows.view(x.shape)

    def _window(self, offsets: torch.Tensor, ends: torch.Tensor, steps: int) -> Window:
        attention = self.layers[0].self_attn
        ring = attention._streaming_state.kv_cache.cache
        _, batch, heads, length, width = ring.shape
        known = _constants(steps, length, width, self.max_period, ring.dtype, ring.device)
        positions = offsets[:, None] + known.steps
        angles = known.frequencies * positions.float()[:, :, None, None, None, None]
        # As in the stock ring, a row that is frozen does not see what is written for it in this step.
        visible = (known.ring < ends[:, None])[:, None]
        if steps > 1:
            age = (positions[:, -1:] - known.ring) % length
            visible = visible & (age[:, None] >= known.steps_left)
        return Window(
            place=(positions % length)[None, :, None, :, None].expand(2, batch, heads, steps, width),
            cosine=angles.cos(),
            sine=angles.sin().mul_(known.sign),
            bias=torch.where(visible, known.seen, known.unseen)[:, None],
        )


class _Constants(NamedTuple):
    steps: torch.Tensor
    """int64 ``[T]``: 0, 1 ..."""
    steps_left: torch.Tensor
    """int64 ``[T, 1]``: ... 1, 0"""
    ring: torch.Tensor
    """int64 ``[R]``: 0, 1 ..."""
    frequencies: torch.Tensor
    """float32 ``[D / 2, 2]``: each of them twice."""
    sign: torch.Tensor
    """float32 ``[2]``: -1, 1"""
    seen: torch.Tensor
    unseen: torch.Tensor


@lru_cache(maxsize=16)
def _constants(
    steps: int, length: int, width: int, max_period: float, dtype: torch.dtype, device: torch.device
) -> _Constants:
    counted = torch.arange(steps, device=device)
    halves = torch.arange(width // 2, device=device, dtype=torch.float32)
    frequencies = torch.exp(halves * (-math.log(max_period) * 2 / width))
    return _Constants(
        steps=counted,
        steps_left=counted.flip(0)[:, None],
        ring=torch.arange(length, device=device),
        frequencies=frequencies[:, None].repeat(1, 2),
        sign=torch.tensor([-1.0, 1.0], device=device),
        seen=torch.tensor(0.0, dtype=dtype, device=device),
        unseen=torch.tensor(-torch.inf, dtype=dtype, device=device),
    )
