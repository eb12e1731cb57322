"""Stage `lm`: the language model, on composed conversations.

The loss is that of moshi's own forward pass, with two differences that save time: the depth transformer is asked
only where the model speaks and at few silent frames, and a further output, thrown away afterwards, names the caller's
words, which teaches hearing from every word of a call and not only from the choice of a reply.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from moshi.models import LMModel, loaders
from moshi.models.lm_utils import _delay_sequence

from coda_demo_model.architecture import CODEBOOKS, CODES, LM, PADDING
from coda_demo_model.codes import Codes
from coda_demo_model.dialogue import Dialogues
from coda_demo_model.script import load_script
from coda_demo_model.training import Training, WeightAverage, learning_rate

__all__ = ["new_language_model", "train_language_model"]

_ROWS: Final = 6
_SILENT_SHARE: Final = 0.25
"""Of the silent frames, those at which the codes are asked for too."""
_HEARING: Final = 1.0
_NO_CODE: Final = -100


def new_language_model() -> LMModel:
    """Return the language model with fresh weights."""
    return loaders.get_moshi_lm(None, dict(LM), device="cpu", dtype=torch.float32)


def train_language_model(
    codes: Codes, folder: Path, *, minutes: float, seed: int, max_steps: int | None = None
) -> dict[str, torch.Tensor]:
    """Train the language model, or go on with it; return its averaged weights."""
    torch.manual_seed(seed)
    words = load_script().caller_words
    dialogues = Dialogues(codes, words)
    model, hearing = new_language_model(), torch.nn.Linear(LM["dim"], len(words) + 1)
    model.train()
    average = WeightAverage(model, 0.998)
    parameters = [*model.parameters(), *hearing.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05, fused=True)
    kept: dict[str, Any] = {"model": model, "hearing": hearing, "average": average, "optimizer": optimizer}
    training = Training(folder, 60 * minutes, kept, max_steps)
    silence = torch.from_numpy(codes.silence.astype(np.int64))
    for step in training.steps():
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, training.fraction, peak=2e-3)
        losses = _losses(model, hearing, _draw(dialogues, seed, step), silence)
        loss = losses["text"] + 1.5 * losses["codes"] + _HEARING * losses["hearing"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        average.update()
        training.record(**{name: float(value.detach()) for name, value in losses.items()})
    return average.state_dict()["mean"]


@attrs.frozen(eq=False)
class _Batch:
    tokens: torch.Tensor
    """[B, 1 + 2 * codebooks, frames]."""
    weights: torch.Tensor
    """[B, frames]."""
    words: torch.Tensor
    """[B, frames]."""


def _draw(dialogues: Dialogues, seed: int, step: int) -> _Batch:
    bits = np.random.default_rng((seed, 6, step))
    drawn = [dialogues.draw(bits) for _ in range(_ROWS)]
    return _Batch(
        torch.from_numpy(np.stack([dialogue.tokens for dialogue in drawn])),
        torch.from_numpy(np.stack([dialogue.weights for dialogue in drawn])),
        torch.from_numpy(np.stack([dialogue.words for dialogue in drawn])),
    )


def _losses(model: LMModel, hearing: torch.nn.Module, batch: _Batch, silence: torch.Tensor) -> dict[str, torch.Tensor]:
    initial = model._get_initial_token().expand(len(batch.tokens), -1, -1)
    delayed = torch.cat([initial, _delay_sequence(model.delays, batch.tokens, initial)], dim=2)
    hidden, text_logits = model.forward_text(delayed[:, :, :-1])
    wanted = delayed[:, :, 1:]
    of_text = F.cross_entropy(text_logits[:, 0].transpose(1, 2), batch.tokens[:, 0], reduction="none")
    own = wanted[:, 1 : 1 + CODEBOOKS]
    speaking = (own != silence[None, :, None]).any(1)
    # The first frame has a code of the first codebook alone, as the others are delayed; untrained, it would be a crack.
    speaking[:, 0] = True
    asked = (speaking | (torch.rand(speaking.shape) < _SILENT_SHARE)) & (own[:, 0] < CODES)
    chosen = wanted.transpose(1, 2)[asked].T[None]
    logits = model.forward_depformer_training(chosen, hidden[asked][None])
    asked_codes = chosen[0, 1 : 1 + CODEBOOKS]
    asked_codes = asked_codes.where(asked_codes < CODES, _NO_CODE)
    of_codes = F.cross_entropy(logits[0].flatten(0, 1), asked_codes.flatten(), ignore_index=_NO_CODE)
    words = batch.tokens[:, 0] != PADDING
    with torch.no_grad():
        decision = (of_text * (batch.weights > 5)).sum() / (batch.weights > 5).sum().clamp(min=1)
        spoken = of_text * words * (batch.weights > 0)
        of_words = spoken.sum() / (words & (batch.weights > 0)).sum().clamp(min=1)
    return {
        "text": (of_text * batch.weights).sum() / batch.weights.sum(),
        "codes": of_codes,
        "hearing": F.cross_entropy(hearing(hidden).flatten(0, 1), batch.words.flatten(), ignore_index=-100),
        "decision": decision,
        "words": of_words,
    }
