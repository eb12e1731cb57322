"""What `LMGen` does around its models, with fewer operators: the same tokens and the same state.

All of it is bookkeeping with integers: which token of which stream goes where in the token cache, and which are due.
"""

from __future__ import annotations

import torch
from moshi.models import LMGen

__all__ = ["lean_step"]


def lean_step(generator: LMGen, input_tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Do what ``LMGen._step`` does, for a greedy generator out of sync, without conditions or guidance.

    `input_tokens` is int64 ``[B, K, 1]``, the other side's codes. Returns tokens ``[B, 1 + dep_q, 1]`` and what the
    depth transformer read.
    """
    state = generator._streaming_state
    model, delays, most = generator.lm_model, generator.delays_cuda, generator.max_delay
    cache, moving, offsets = state.cache, state.exec_mask, state.offsets.unsqueeze(1)
    own = 1 + model.dep_q
    heard = cache.narrow(1, own, cache.shape[1] - own)
    places = (offsets + delays.narrow(0, own, heard.shape[1])).remainder_(cache.shape[2])
    _write(heard, places, input_tokens.narrow(1, 0, heard.shape[1]).squeeze(2), moving)

    place = offsets.remainder(cache.shape[2]).unsqueeze(2).expand(-1, cache.shape[1], -1)
    # Where a stream has not begun, and for slots that stand still, as their next tokens may not be there yet.
    unbegun = (offsets <= delays).logical_or_(moving.logical_not().unsqueeze(1)).unsqueeze(2)
    out, text_logits = state.graphed_main(
        torch.where(unbegun, state.initial, cache.gather(2, place)), state.condition_sum, state.condition_cross
    )
    generator.on_text_logits_hook(text_logits)
    text = text_logits.float().argmax(3).view(-1)
    generator.on_text_hook(text)
    audio = state.graphed_depth(text, out)
    generator.on_audio_hook(audio)

    state.offsets.add_(moving)
    state.offset_cpu += 1
    spoken = cache.narrow(1, 0, own)
    place = offsets.remainder(cache.shape[2]).expand(-1, own)
    _write(spoken, place, torch.cat((text.unsqueeze(1), audio), 1), moving)
    due = (offsets + (delays.narrow(0, 0, own) - most)).remainder_(cache.shape[2])
    tokens = spoken.gather(2, due.unsqueeze(2))
    nothing = (offsets <= most).logical_or_(moving.logical_not().unsqueeze(1))
    return tokens.masked_fill_(nothing.unsqueeze(2), model.ungenerated_token_id), out


def _write(cache: torch.Tensor, places: torch.Tensor, tokens: torch.Tensor, moving: torch.Tensor) -> None:
    """Put tokens ``[B, K]`` at places ``[B, K]`` of a cache ``[B, K, length]``, in rows that move."""
    places = places.unsqueeze(2)
    cache.scatter_(2, places, torch.where(moving.view(-1, 1, 1), tokens.unsqueeze(2), cache.gather(2, places)))
