"""Who said what in a demo, turn by turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from coda_core.cli.demo.transcript import spoken_texts

if TYPE_CHECKING:
    from coda_core.cli.demo.session import Talk
    from coda_core.text import Speaker

__all__ = ["Turn", "exchange"]

_PAUSE_S: Final = 1.2
"""Of Moshi's, after which what it says is a new turn; the report cuts at the same."""


@attrs.frozen
class Turn:
    """What one side said without a pause."""

    start_s: float
    speaker: Speaker
    text: str


def exchange(talk: Talk) -> list[Turn]:
    """Return the turns of both sides in order; of the caller only what is known beforehand."""
    texts = sorted([*spoken_texts(talk.texts), *talk.questions], key=lambda text: text.start_s)
    turns: list[Turn] = []
    ended_s = 0.0
    for text in texts:
        if turns and turns[-1].speaker == text.speaker and text.start_s - ended_s <= _PAUSE_S:
            turns[-1] = attrs.evolve(turns[-1], text=f"{turns[-1].text} {text.text}")
        else:
            turns.append(Turn(text.start_s, text.speaker, text.text))
        ended_s = text.end_s
    return turns
