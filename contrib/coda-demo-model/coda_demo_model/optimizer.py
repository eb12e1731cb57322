"""Muon: momentum whose matrices are made nearly orthogonal before they are added to the weights.

After Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024). It is worth its products where
matrices are small and steps are dear: the decoder gets as far in a third of the steps as with AdamW. What torch brings
under that name takes no convolutions, which most of the codec is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import torch

__all__ = ["Muon"]

_MOMENTUM: Final = 0.95
_DECAY: Final = 0.01
_ADAMW_SHARE: Final = 0.5
"""Of the learning rate."""
_NARROWEST: Final = 16
_ITERATIONS: Final = 5
_COEFFICIENTS: Final = (3.4445, -4.7750, 2.0315)
"""Of the quintic that pulls all singular values to about 1, from the same source."""


class Muon:
    """Muon for matrices and convolutions, AdamW for everything that is narrower than 16 or no matrix."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        learnt = list(parameters)
        self._matrices = [value for value in learnt if _is_matrix(value)]
        self._momenta = [torch.zeros_like(value) for value in self._matrices]
        self._rest = torch.optim.AdamW(
            [value for value in learnt if not _is_matrix(value)], betas=(0.9, 0.99), weight_decay=1e-3, fused=True
        )

    def zero_grad(self) -> None:
        """Forget all gradients."""
        self._rest.zero_grad()
        for matrix in self._matrices:
            matrix.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move all parameters against their gradients."""
        for group in self._rest.param_groups:
            group["lr"] = _ADAMW_SHARE * rate
        self._rest.step()
        for matrix, momentum in zip(self._matrices, self._momenta, strict=True):
            if matrix.grad is None:
                continue
            momentum.mul_(_MOMENTUM).add_(matrix.grad)
            ahead = matrix.grad + _MOMENTUM * momentum
            rows = _orthogonal(ahead.flatten(1))
            scale = max(1.0, rows.shape[0] / rows.shape[1]) ** 0.5
            matrix.mul_(1 - _DECAY * rate).add_(rows.reshape(matrix.shape), alpha=-rate * scale)

    def state_dict(self) -> dict[str, Any]:
        return {"rest": self._rest.state_dict(), "momenta": self._momenta}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._rest.load_state_dict(state["rest"])
        for momentum, kept in zip(self._momenta, state["momenta"], strict=True):
            momentum.copy_(kept)


def _is_matrix(value: torch.Tensor) -> bool:
    return value.ndim >= 2 and min(value.shape[0], value[0].numel()) >= _NARROWEST


def _orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """Return a matrix with the same singular vectors, whose singular values are all near 1."""
    first, second, third = _COEFFICIENTS
    high = matrix.shape[0] > matrix.shape[1]
    found = matrix.T if high else matrix
    found = found / (found.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        square = found @ found.T
        found = first * found + (second * square + third * (square @ square)) @ found
    return found.T if high else found
