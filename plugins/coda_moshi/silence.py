"""How long a model that was told to be silent stays so."""

from __future__ import annotations

from typing import Any, Final, Self

import attrs

from coda_moshi.onsets import Wish

__all__ = ["Silence"]

_LET_GO_FRAMES: Final = 6
"""Half a second in which the model itself wanted to say nothing: longer than the pauses within its sentences."""


@attrs.define(kw_only=True)
class Silence:
    """Holds until the caller has spoken, or for so many steps.

    A caller who was not speaking when it began has spoken once a whole frame of his was heard. Where he was speaking
    already, which is what an interruption is for, it holds until he pauses, so that the model does not go on with
    its sentence, or until the model has let go of that by itself, so that its answer is not lost.
    """

    left: int | None = None
    """Steps until it ends by itself."""
    interrupts_caller: bool = False
    """Whether the caller was speaking when it began."""
    heard: bool = False
    """Whether a frame of a new utterance of the caller has passed."""
    let_go: int = 0
    """Steps in a row in which the model wished nothing."""

    def holds(self, caller_speaking: bool) -> bool:
        """Return whether it covers the step that now begins. Once before each step."""
        if self.left is not None:
            if self.left == 0:
                return False
            self.left -= 1
        if self.interrupts_caller:
            return caller_speaking and self.let_go < _LET_GO_FRAMES
        if self.heard:
            return False
        self.heard = caller_speaking
        return True

    def took(self, wish: Wish) -> None:
        """Take note of a step that it covered: what the model would have done."""
        self.let_go = self.let_go + 1 if wish is Wish.NOTHING else 0

    def export(self) -> dict[str, Any]:
        return attrs.asdict(self)

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Self:
        """Return what `export` was called on; raises TypeError for anything else."""
        return cls(**state)
