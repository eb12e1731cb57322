"""How the directives of a step reach the model: a few integers of each slot, looked up on the device.

The host decides before a step for each thing the model may wish (see `injection`); here the wish picks one of them.
Nothing is copied and nothing added to a step in which no slot is told anything. Rows of other slots keep every bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from moshi.models import LMModel
from moshi.models.lm import scatter_with_mask_
from numpy.typing import NDArray

from coda_moshi.slot_script import Directive

__all__ = ["PromptLine", "Steering"]

_OWN: Final = -1
"""In place of a text token: what the model chooses."""
_FIRST_FLAG: Final = 3
"""Columns before it are the text tokens for each `Wish`."""
_SILENT, _PROMPT, _HEARD, _HIDDEN = range(_FIRST_FLAG, _FIRST_FLAG + 4)
_COLUMNS: Final = _FIRST_FLAG + 4


@dataclass
class PromptLine:
    """Codes that a prompt lays into the model's mouth, until each codebook's delay has passed: a part of a slot."""

    codes: torch.Tensor
    """int64 ``[slots, dep_q, max_delay + 1]``"""


class Steering:
    """Steers the slots of `model`, once `learn` was called."""

    def __init__(self, model: LMModel, slots: int) -> None:
        device = model.device
        codebooks = max(model.dep_q, model.n_q - model.dep_q)
        self._spoken = model.dep_q
        self._wishes = torch.zeros(model.text_linear.out_features, dtype=torch.int64, device=device)
        self._silence = torch.zeros(codebooks, dtype=torch.int64, device=device)
        self._delays = torch.tensor(model.delays[1 : 1 + model.dep_q], device=device)
        on_gpu = device.type == "cuda"
        self._host = torch.empty(_COLUMNS, slots, dtype=torch.int64, device="cpu", pin_memory=on_gpu)
        self._rows = self._host.to(device) if on_gpu else self._host
        self._numbers = self._host.numpy()
        self._wish = torch.zeros(slots, dtype=torch.int64, device=device)
        self._active = False
        self._prompting = False
        self.line = PromptLine(torch.zeros(slots, model.dep_q, max(model.delays) + 1, dtype=torch.int64, device=device))

    def learn(self, wishes: NDArray[np.int64], silence: NDArray[np.int64]) -> None:
        """Take what each text token says of beginnings (`coda_moshi.onsets.wishes`), and the codec's silence."""
        self._wishes.copy_(torch.from_numpy(wishes))
        self._silence.copy_(torch.from_numpy(silence))

    @property
    def wish(self) -> torch.Tensor:
        """int64 ``[slots]``: the `Wish` of the step, where any slot was told anything."""
        return self._wish

    def tell(self, directives: Mapping[int, Directive]) -> None:
        """Take what slots are told in the next step."""
        self._active = bool(directives)
        self._prompting = any(directive.prompting for directive in directives.values())
        if not self._active:
            return
        self._numbers[:_FIRST_FLAG] = _OWN
        self._numbers[_FIRST_FLAG:] = 0
        for slot, told in directives.items():
            row = self._numbers[:, slot]
            if told.tokens is not None:
                row[:_FIRST_FLAG] = told.tokens
            row[_FIRST_FLAG:] = (told.silent, told.prompting, told.voice is not None, told.hidden)
        if self._rows is not self._host:
            self._rows.copy_(self._host, non_blocking=True)

    def heard(self, codes: torch.Tensor, offsets: torch.Tensor, moving: torch.Tensor) -> torch.Tensor:
        """Return the caller's codes ``[slots, codebooks, 1]`` with silence for slots that take in a prompt."""
        if not self._prompting:
            return codes
        prompting = self._flag(_PROMPT)
        silence = self._silence[:, None]
        own = torch.where(self._flag(_HEARD)[:, None, None], codes, silence)[:, : self._spoken]
        line = self.line.codes
        newest = (offsets % line.shape[2])[:, None, None].expand_as(own)
        scatter_with_mask_(line, 2, newest, own, (moving & prompting)[:, None, None])
        return torch.where(prompting[:, None, None], silence, codes)

    def choose_text(self, token: torch.Tensor) -> None:
        """Replace text tokens, int64 ``[slots]``, in place; note what was wished."""
        if self._active:
            torch.index_select(self._wishes, 0, token, out=self._wish)
            told = self._rows[:_FIRST_FLAG].gather(0, self._wish[None])[0]
            token.copy_(torch.where(told == _OWN, token, told))

    def choose_audio(self, tokens: torch.Tensor, offsets: torch.Tensor) -> None:
        """Replace audio tokens, int64 ``[slots, dep_q]``, in place."""
        if not self._active:
            return
        silence = self._silence[: self._spoken]
        tokens.copy_(torch.where(self._flag(_SILENT)[:, None], silence, tokens))
        if self._prompting:
            line = self.line.codes
            due = (offsets[:, None] - self._delays) % line.shape[2]
            prompt = line.gather(2, due[:, :, None])[:, :, 0]
            tokens.copy_(torch.where(self._flag(_PROMPT)[:, None], prompt, tokens))

    def shown(self, valid: torch.Tensor) -> torch.Tensor:
        """Return `valid`, bool ``[slots]``, without slots whose output is no part of their conversation."""
        return valid & ~self._flag(_HIDDEN) if self._active else valid

    def _flag(self, column: int) -> torch.Tensor:
        return self._rows[column].bool()
