"""moshi's residual quantiser with fewer operators: the same codes and the same vectors, bit for bit.

In every frame the stock module's `torch.cdist` joins each codebook with the squares of its vectors, to have distances
by one matrix product. Codebooks do not change, so here they are joined once.
"""

from __future__ import annotations

from typing import Final

import torch
from moshi.quantization.core_vq import EuclideanCodebook, ResidualVectorQuantization, VectorQuantization
from torch import nn

__all__ = ["LeanResidualQuantization"]

_BY_PRODUCT: Final = 25
"""`torch.cdist` computes distances by a product where there are more vectors than these on a side."""


class LeanResidualQuantization(ResidualVectorQuantization):  # type: ignore[misc]  # moshi is not typed
    """`ResidualVectorQuantization` whose codebooks do not change any more."""

    @staticmethod
    def refuses(module: ResidualVectorQuantization) -> str | None:
        """Return why `module` has to stay as it is, or None."""
        for layer in module.layers:
            if type(layer) is not VectorQuantization or type(layer._codebook) is not EuclideanCodebook:
                return "it has a codebook that is not known"
            if type(layer.project_in) is not nn.Identity or type(layer.project_out) is not nn.Identity:
                return "its codebooks are projected"
            if layer.codebook_size <= _BY_PRODUCT:
                return "its codebooks are very small"
        return None

    def prepare(self) -> None:
        """Make what is kept beside the weights: a joined copy of each codebook, once it is used."""
        self.lean_joined: dict[int, torch.Tensor] = {}

    def encode(self, x: torch.Tensor, n_q: int | None = None) -> torch.Tensor:
        """Return codes, int64 ``[codebooks, B, T]``, for ``[B, C, T]``."""
        batch, width, frames = x.shape
        residual = x.transpose(1, 2).reshape(1, -1, width)
        codes = []
        for level in range(n_q or len(self.layers)):
            codebook = self.layers[level]._codebook.embedding
            square = residual.pow(2).sum(-1, keepdim=True)
            joined = torch.cat((residual * -2, square, torch.ones_like(square)), -1)
            distances = joined.matmul(self._joined(level, codebook)).clamp_min_(0).sqrt_()
            chosen = distances.argmin(-1)
            residual = residual - torch.embedding(codebook, chosen)
            codes.append(chosen)
        return torch.cat(codes).view(-1, batch, frames)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Return ``[B, C, T]`` for codes, int64 ``[codebooks, B, T]``."""
        chosen = codes.unbind()
        total = torch.embedding(self.layers[0]._codebook.embedding, chosen[0])
        for level in range(1, len(chosen)):
            total.add_(torch.embedding(self.layers[level]._codebook.embedding, chosen[level]))
        return total.transpose(1, 2)

    def _joined(self, level: int, codebook: torch.Tensor) -> torch.Tensor:
        """Return ``[1, C + 2, vectors]``, laid out as the stock module's."""
        if level not in self.lean_joined:
            square = codebook.pow(2).sum(-1, keepdim=True)
            self.lean_joined[level] = torch.cat((codebook, torch.ones_like(square), square), -1)[None].mT
        return self.lean_joined[level]
