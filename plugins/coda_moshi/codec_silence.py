"""The codes that a codec gives to silence."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from moshi.models import MimiModel
from numpy.typing import NDArray

__all__ = ["silence_codes"]

_FRAMES: Final = 32
"""In its first frames a codec still hears its own beginning: one of ours needed sixteen."""


def silence_codes(mimi: MimiModel, slots: int) -> NDArray[np.int64]:
    """Return the code of each codebook, ``[codebooks]``, once silence has lasted.

    `mimi` streams `slots` slots, all of which hear that silence.
    """
    silence = torch.zeros(slots, 1, mimi.frame_size, device=next(mimi.parameters()).device)
    for _ in range(_FRAMES):
        codes = mimi.encode(silence)
    found: NDArray[np.int64] = codes[0, :, 0].cpu().numpy().astype(np.int64)
    return found
