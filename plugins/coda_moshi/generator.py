"""The language model's loop, with each slot sampling for itself.

moshi's own `LMGen` stays in charge of delays, masks, its token cache and its CUDA graphs. It runs greedily and out of
sync, and what it would choose is replaced where a slot samples. Invariants:

- A slot's tokens depend on its own inputs, settings and seed: nothing that is reduced over the batch is ever read.
- A greedy slot takes exactly what stock `LMGen` takes.
- What a CUDA graph reads or writes beside its arguments lives in tensors made once and changed in place.
- A probability belongs to the text token beside it, however many steps the model delays its output.
- What a slot is told to say (`steering`) replaces its own choice before the depth transformer and the cache see it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from moshi.models import LMGen, LMModel
from moshi.models.lm import scatter_with_mask_

from coda_core.errors import ModelError
from coda_moshi.lean_generation import lean_step
from coda_moshi.lean_language_model import LeanLanguageModel
from coda_moshi.sampling import SlotSampler, seed_key, stream_keys, stream_salts
from coda_moshi.sampling_settings import SamplingSettings
from coda_moshi.slot_state import SlotState
from coda_moshi.steering import Steering

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
    """`LMGen` for `slots` conversations, streaming from the start until `stop`.

    `text_most` and `audio_most` are the largest top-k that a slot may be given.
    """

    def __init__(self, lm_model: LMModel, slots: int, *, text_most: int, audio_most: int) -> None:
        super().__init__(
            lm_model,
            use_sampling=False,
            support_out_of_sync=True,
            on_text_logits_hook=self._take_logits,
            on_text_hook=self._choose_text,
            on_audio_hook=self._choose_audio,
        )
        device = lm_model.device
        streams = 1 + lm_model.dep_q
        self._text = SlotSampler(slots, lm_model.text_linear.out_features, text_most, device)
        self._audio = SlotSampler(slots, lm_model.card, audio_most, device)
        self._salts = stream_salts(streams, device)
        self._seed_keys = torch.zeros(slots, dtype=torch.int64, device=device)
        self._keys = torch.zeros(slots, streams, dtype=torch.int64, device=device)
        self._finite = torch.ones(slots, dtype=torch.bool, device=device)
        self.steering = Steering(lm_model, slots)
        self._logits = torch.empty(0)
        self._probability = torch.empty(0)
        self._streams = self.streaming(slots)
        self._line = _DelayLine(torch.zeros(slots, self._streaming_state.cache.shape[2], device=device))

    def stop(self) -> None:
        """Let the language model go, so that another generator can have it; nothing else may be called afterwards."""
        self._streams.close()

    def slot_state(self) -> SlotState:
        """Return everything here that belongs to slots, the language model's state included."""
        own = {"generator": self._streaming_state, "line": self._line, "prompt": self.steering.line}
        return SlotState(own | self.lm_model.get_streaming_state())

    def refuse(self, cache: NDArray[Any], codes: NDArray[Any]) -> None:
        """Raise `ModelError` for tokens that the model does not have: looked up on a GPU they would end everything.

        `cache` and `codes` are rows of LMGen's token cache and of a prompt's codes, for any number of slots.
        """
        model = self.lm_model
        text, audio = cache[:, :1], cache[:, 1:]
        # The highest of each are the tokens before the first; the lowest is moshi's for one that is yet to come.
        known = text.max() <= model.text_card and audio.max() <= model.card and cache.min() >= -2
        if not (known and codes.min() >= 0 and codes.max() < model.card):
            raise ModelError("the parked state of a slot is damaged: it holds tokens that this model does not have")

    def configure(self, slot: int, sampling: SamplingSettings) -> None:
        """Set how `slot` samples from its next step on; without any seed it has 0."""
        self._seed_keys[slot] = seed_key(sampling.seed or 0)
        self._text.configure(slot, temperature=sampling.text_temperature, top_k=sampling.text_top_k)
        self._audio.configure(slot, temperature=sampling.audio_temperature, top_k=sampling.audio_top_k)

    def advance(self, codes: torch.Tensor) -> Advance:
        """Feed the caller's codes, int64 ``[slots, codebooks, 1]``, and advance the slots that the mask lets move."""
        state, line = self._streaming_state, self._line.probability
        tokens = self.step(self.steering.heard(codes, state.offsets, state.exec_mask))
        length = line.shape[1]
        newest = (state.offsets % length)[:, None]
        scatter_with_mask_(line, 1, newest, self._probability, state.exec_mask[:, None])
        aligned = (state.offsets - self.max_delay + self.lm_model.delays[0])[:, None] % length
        return Advance(tokens[:, :, 0], line.gather(1, aligned)[:, 0], self._finite)

    def _step(
        self, input_tokens: torch.Tensor, depformer_replace_tokens: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        if depformer_replace_tokens is None and isinstance(self.lm_model, LeanLanguageModel):
            return lean_step(self, input_tokens)
        stepped: tuple[torch.Tensor, torch.Tensor] | None = super()._step(input_tokens, depformer_replace_tokens)
        return stepped

    def _take_logits(self, text_logits: torch.Tensor) -> None:
        """LMGen's hook on ``[slots, 1, 1, vocabulary]``, before it takes the arg-max."""
        self._logits = text_logits[:, 0, 0].float()
        self._finite.copy_(_finite_rows(self._logits))
        if not (self._text.all_greedy and self._audio.all_greedy):
            self._keys.copy_(stream_keys(self._seed_keys, self._streaming_state.offsets, self._salts))

    def _choose_text(self, token: torch.Tensor) -> None:
        """LMGen's hook on its arg-max, int64 ``[slots]``: the depth transformer speaks what is left in `token`."""
        token.copy_(self._text.draw(self._logits, token, self._keys[:, 0]))
        self.steering.choose_text(token)
        chosen = self._logits.gather(1, token[:, None])
        self._probability = (chosen - self._logits.logsumexp(1, keepdim=True)).exp_()

    def _choose_audio(self, tokens: torch.Tensor) -> None:
        """LMGen's hook on a frame's audio tokens, int64 ``[slots, dep_q]``: what is left in `tokens` is heard."""
        self.steering.choose_audio(tokens, self._streaming_state.offsets)

    def depformer_step(self, text_token: torch.Tensor, transformer_out: torch.Tensor) -> torch.Tensor:
        """Choose a frame's audio tokens codebook by codebook, ``[slots, dep_q]``, in place of LMGen."""
        model, token, tokens = self.lm_model, text_token, []
        total = torch.zeros_like(self._logits[:, 0])
        with model.depformer.streaming(len(text_token)):
            for codebook in range(model.dep_q):
                logits = model.forward_depformer(codebook, token[:, None, None], transformer_out)[:, 0, 0].float()
                total += logits.sum(1)
                token = self._audio.draw(logits, None, self._keys[:, 1 + codebook])
                tokens.append(token)
        self._finite.logical_and_(total.isfinite())
        return torch.stack(tokens, dim=1)


def _finite_rows(values: torch.Tensor) -> torch.Tensor:
    # The sum of a row is finite exactly where all of its values are, short of values that no model has.
    return values.sum(1).isfinite()
