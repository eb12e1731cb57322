"""How loud each side is, and whether it is speech: one answer for the whole of Coda."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from coda_core.records import record

__all__ = ["SILENCE_DBFS", "Side", "SpeechActivity", "levels_dbfs"]

SILENCE_DBFS: Final = -120.0
_FLOOR_POWER: Final = 10 ** (SILENCE_DBFS / 10)
_RELEASE_DB: Final = np.float32(6)
_RISE_DB: Final = 0.1


def levels_dbfs(pcm: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the RMS level of each row of ``[n, samples]``: 0 for a full-scale square wave, -120 for silence."""
    energy = np.matmul(pcm[:, None, :], pcm[:, :, None])[:, 0, 0]
    levels: NDArray[np.float32] = 10 * np.log10(np.maximum(energy / pcm.shape[1], _FLOOR_POWER))
    return np.maximum(levels, np.float32(SILENCE_DBFS))


@record(eq=False)
class Side:
    """One side of all conversations in a step."""

    frames: Sequence[NDArray[np.float32]]
    """``n`` times ``[samples]``; read-only, as followers and readers share them."""
    dbfs: NDArray[np.float32]
    """``[n]``"""
    speaking: NDArray[np.bool_]
    """``[n]``"""


@attrs.define(eq=False)
class SpeechActivity:
    """Speech or not, for every slot at once: energy with hysteresis over a tracked background.

    A slot's answer depends on the levels that were given for that slot since `reset` and on nothing else. Speech
    begins with a frame above both the absolute threshold and the background plus the margin; it ends after
    `hangover` frames that are 6 dB below where it could begin. The background follows quiet frames at once
    downward and by 0.1 dB a frame upward, so a steady noise stops being speech within seconds.
    """

    slots: int
    threshold_dbfs: float
    margin_db: float
    hangover: int
    _quiet: NDArray[np.int64] = attrs.field(init=False)
    """Frames since the latest one of speech; a slot speaks while they are within the hangover."""
    _background: NDArray[np.float32] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._quiet = np.full(self.slots, self.hangover + 1, np.int64)
        self._background = np.full(self.slots, SILENCE_DBFS, np.float32)

    def reset(self, slot: int) -> None:
        """Forget what was heard in a slot."""
        self._quiet[slot] = self.hangover + 1
        self._background[slot] = SILENCE_DBFS

    def export(self, slot: int) -> tuple[bool, int, float]:
        """Return what is remembered of a slot, in plain values."""
        quiet = int(self._quiet[slot])
        return quiet <= self.hangover, quiet, float(self._background[slot])

    def restore(self, slot: int, state: tuple[bool, int, float]) -> None:
        """Go on in a slot where `export` left off, maybe with another hangover."""
        speaking, quiet, self._background[slot] = state
        self._quiet[slot] = min(quiet, self.hangover) if speaking else max(quiet, self.hangover + 1)

    def update(self, slots: NDArray[np.int64], level: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Take one frame's levels ``[n]`` of `slots` ``[n]``; return whether each is speech ``[n]``."""
        background, quiet = self._background[slots], self._quiet[slots]
        least = np.maximum(background + self.margin_db, self.threshold_dbfs)
        least -= _RELEASE_DB * (quiet <= self.hangover)
        quiet += 1
        quiet[level >= least] = 0
        self._quiet[slots] = quiet
        self._background[slots] = np.minimum(background + _RISE_DB, level)
        return quiet <= self.hangover
