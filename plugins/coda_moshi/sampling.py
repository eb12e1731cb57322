"""Drawing tokens so that each slot depends on its own seed, settings and place, and on nothing else.

A token is drawn with the Gumbel-max trick: among the k likeliest, take the one with the largest ``logit / temperature
+ noise``, where the noise of a candidate is a pure function of (seed, frame, codebook, token id). There is no
generator and so no state: a conversation draws the same whoever shares its batch, and whether or not it paused.

The noise comes from an integer hash, the 32-bit mixer ``16 21f0aaad 15 735a2d97 15`` which TheIronBorn found with
Chris Wellons's hash-prospector (https://github.com/skeeto/hash-prospector, issue 19): a bijection with an avalanche
bias of 0.11 %. Both factors are below 2^31, so products of 32-bit values fit into int64 and nothing overflows.
"""

from __future__ import annotations

from typing import Final

import torch

__all__ = ["SlotSampler", "mix", "seed_key", "stream_keys", "stream_salts"]

_BITS: Final = 0xFFFFFFFF
_FIRST_FACTOR: Final = 0x21F0AAAD
_SECOND_FACTOR: Final = 0x735A2D97
_OFFSET: Final = 0x9E3779B9
"""Keeps small numbers away from 0, which the mixer maps to itself."""


def mix(values: torch.Tensor) -> torch.Tensor:
    """Return the hash of int64 values from 0 to 2^32 - 1, in the same range."""
    values = values ^ (values >> 16)
    values.mul_(_FIRST_FACTOR).bitwise_and_(_BITS)
    values.bitwise_xor_(values >> 15)
    values.mul_(_SECOND_FACTOR).bitwise_and_(_BITS)
    return values.bitwise_xor_(values >> 15)


def seed_key(seed: int) -> int:
    """Return the 32-bit key of a seed; all bits of its lowest 64 count."""
    low = mix(torch.tensor((seed + _OFFSET) & _BITS))
    return int(mix(low ^ ((seed >> 32) & _BITS)))


def stream_salts(streams: int, device: torch.device) -> torch.Tensor:
    """Return a fixed 32-bit number for each stream of tokens, or each token of a vocabulary: ``[streams]``."""
    return mix(torch.arange(1, streams + 1) + _OFFSET).to(device)


def stream_keys(seed_keys: torch.Tensor, frames: torch.Tensor, salts: torch.Tensor) -> torch.Tensor:
    """Return the key of every slot's every stream in its current frame, ``[slots, streams]``.

    `seed_keys` and `frames` are int64 ``[slots]``, `salts` what `stream_salts` returned.
    """
    return mix(mix(seed_keys ^ (frames & _BITS))[:, None] ^ salts)


class SlotSampler:
    """Draws a token for each slot from one vocabulary, by that slot's settings.

    `most` bounds every slot's top-k. The settings are tensors changed in place, so that a CUDA graph that reads them
    stays valid.
    """

    def __init__(self, slots: int, vocabulary: int, most: int, device: torch.device) -> None:
        self.most = most
        self._salts = stream_salts(vocabulary, device)
        self._rank = torch.arange(most).to(device)
        self._top_k = torch.ones(slots, 1, dtype=torch.int64, device=device)
        self._temperature = torch.ones(slots, 1, device=device)
        self._greedy = torch.ones(slots, dtype=torch.bool, device=device)
        # A CUDA graph would go on as it was captured.
        self._choosy = device.type == "cpu"
        self._sampling: set[int] = set()
        self._slots = slots

    @property
    def all_greedy(self) -> bool:
        """Whether nothing has to be drawn. False on a device whose work is captured and repeated."""
        return self._choosy and not self._sampling

    def configure(self, slot: int, *, temperature: float, top_k: int) -> None:
        """Set how `slot` draws: from its `top_k` likeliest tokens, 1 to `most`; a temperature of 0 is greedy."""
        self._top_k[slot] = top_k
        self._temperature[slot] = temperature or 1.0
        self._greedy[slot] = temperature == 0
        (self._sampling.discard if temperature == 0 else self._sampling.add)(slot)

    def draw(self, logits: torch.Tensor, likeliest: torch.Tensor | None, keys: torch.Tensor) -> torch.Tensor:
        """Return a token of each slot, int64 ``[slots]``.

        `logits` is float32 ``[slots, vocabulary]``, `likeliest` its arg-max if it is known, `keys` one column of
        `stream_keys`.
        """
        if self._choosy and len(self._sampling) == self._slots:
            return self._drawn(logits, keys)
        if likeliest is None:
            likeliest = logits.argmax(1)
        if self.all_greedy:
            return likeliest
        return torch.where(self._greedy, likeliest, self._drawn(logits, keys))

    def _drawn(self, logits: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        scores, tokens = logits.topk(self.most)
        scores = scores.div_(self._temperature).add_(_gumbel(mix(self._salts.take(tokens) ^ keys[:, None])))
        scores.masked_fill_(self._rank >= self._top_k, -torch.inf)
        return tokens.gather(1, scores.argmax(1, keepdim=True))[:, 0]


def _gumbel(hashes: torch.Tensor) -> torch.Tensor:
    """Return standard Gumbel noise, finite, float32: ``-log(-log(1 - u))`` for u = hash / 2^32.

    u is fine-grained near 0, where the noise is large and decides; it stays below 1 by as much as float32 can tell.
    """
    exponential = hashes.to(torch.float32).mul_(-(2.0**-32)).clamp_(-(1 - 2.0**-24), -(2.0**-33)).log1p_().neg_()
    return exponential.log_().neg_()
