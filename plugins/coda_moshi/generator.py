"""The language model's loop, with each slot sampling for itself.

moshi's own `LMGen` stays in charge of delays, masks, its token cache and its CUDA graphs. It runs greedily and out of
sync, and what it would choose is replaced where a slot samples. Invariants:

- A slot's tokens depend on its own inputs, settings and seed: nothing that is reduced over the batch is ever read.
- A greedy slot takes exactly what stock `LMGen` takes.
- What a CUDA graph reads or writes beside its arguments lives in tensors made once and changed in place.
- A probability belongs to the text token beside it, however many steps the model delays its output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from moshi.models import LMGen, LMModel
from moshi.models.lm import scatter_with_mask_

from coda_moshi.sampling import SlotSampler, seed_key, stream_keys, stream_salts
from coda_moshi.sampling_settings import SamplingSettings
from coda_moshi.slot_state import SlotState

__all__ = ["Advance", "SlotGenerator"]


class Advance(NamedTuple):
    """One step of all slots. Rows of slots that are frozen or still warming up hold negative tokens."""

    tokens: torch.Tensor
    """int64 ``[slots, 1 + dep_q]``: text, then the codebooks of Moshi's voice, aligned with each other."""
    probability: torch.Tensor
    """float32 ``[slots]``: softmax at temperature 1 of the text logits, at the text token."""
    finite: torch.Tensor
    """bool ``[slots]``: whether every logit of this step was finite."""


@dataclass
class _DelayLine:
    """State of a slot beside moshi's: how likely its latest text tokens were, placed as LMGen's cache places them."""

    probability: torch.Tensor


class SlotGenerator(LMGen):  # type: ignore[misc]  # moshi is not typed
    """`LMGen` for `slots` conversations, streaming from the start.

    `text_most` and `audio_most` are the largest top-k that a slot may be given.
    """

    def __init__(self, lm_model: LMModel, slots: int, *, text_most: int, audio_most: int) -> None:
        super().__init__(
            lm_model,
            use_sampling=False,
            support_out_of_sync=True,
            on_text_logits_hook=self._take_logits,
            on_text_hook=self._choose_text,
        )
        device = lm_model.device
        streams = 1 + lm_model.dep_q
        self._text = SlotSampler(slots, lm_model.text_linear.out_features, text_most, device)
        self._audio = SlotSampler(slots, lm_model.card, audio_most, device)
        self._salts = stream_salts(streams, device)
        self._seed_keys = torch.zeros(slots, dtype=torch.int64, device=device)
        self._keys = torch.zeros(slots, streams, dtype=torch.int64, device=device)
        self._finite = torch.ones(slots, dtype=torch.bool, device=device)
        self._logits = torch.empty(0)
        self._probability = torch.empty(0)
        self.streaming_forever(slots)
        self._line = _DelayLine(torch.zeros(slots, self._streaming_state.cache.shape[2], device=device))

    def slot_state(self) -> SlotState:
        """Return everything here that belongs to slots, the language model's state included."""
        own = {"generator": self._streaming_state, "line": self._line}
        return SlotState(own | self.lm_model.get_streaming_state())

    def configure(self, slot: int, sampling: SamplingSettings) -> None:
        """Set how `slot` samples from its next step on; without any seed it has 0."""
        self._seed_keys[slot] = seed_key(sampling.seed or 0)
        self._text.configure(slot, temperature=sampling.text_temperature, top_k=sampling.text_top_k)
        self._audio.configure(slot, temperature=sampling.audio_temperature, top_k=sampling.audio_top_k)

    def advance(self, codes: torch.Tensor) -> Advance:
        """Feed the caller's codes, int64 ``[slots, codebooks, 1]``, and advance the slots that the mask lets move."""
        tokens = self.step(codes)
        state, line = self._streaming_state, self._line.probability
        length = line.shape[1]
        newest = (state.offsets % length)[:, None]
        scatter_with_mask_(line, 1, newest, self._probability, state.exec_mask[:, None])
        aligned = (state.offsets - self.max_delay + self.lm_model.delays[0])[:, None] % length
        return Advance(tokens[:, :, 0], line.gather(1, aligned)[:, 0], self._finite)

    def _take_logits(self, text_logits: torch.Tensor) -> None:
        """LMGen's hook on ``[slots, 1, 1, vocabulary]``, before it takes the arg-max."""
        self._logits = text_logits[:, 0, 0].float()
        self._finite.copy_(_finite_rows(self._logits))
        self._keys.copy_(stream_keys(self._seed_keys, self._streaming_state.offsets, self._salts))

    def _choose_text(self, token: torch.Tensor) -> None:
        """LMGen's hook on its arg-max, int64 ``[slots]``: the depth transformer speaks what is left in `token`."""
        token.copy_(self._text.draw(self._logits, token, self._keys[:, 0]))
        chosen = self._logits.gather(1, token[:, None])
        self._probability = (chosen - self._logits.logsumexp(1, keepdim=True)).exp_()

    def depformer_step(self, text_token: torch.Tensor, transformer_out: torch.Tensor) -> torch.Tensor:
        """Choose a frame's audio tokens codebook by codebook, ``[slots, dep_q]``, in place of LMGen."""
        model, token, tokens = self.lm_model, text_token, []
        with model.depformer.streaming(len(text_token)):
            for codebook in range(model.dep_q):
                logits = model.forward_depformer(codebook, token[:, None, None], transformer_out)[:, 0, 0].float()
                self._finite.logical_and_(_finite_rows(logits))
                token = self._audio.draw(logits, logits.argmax(1), self._keys[:, 1 + codebook])
                tokens.append(token)
        return torch.stack(tokens, dim=1)


def _finite_rows(values: torch.Tensor) -> torch.Tensor:
    # The sum of a row is finite exactly where all of its values are, short of values that no model has.
    return values.sum(1).isfinite()
