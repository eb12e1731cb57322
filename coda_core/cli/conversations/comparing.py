"""Two runs of one conversation, frame by frame and word by word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import attrs
import numpy as np

from coda_core.recording import Recording
from coda_core.text import ExtractedText, Vocabulary

__all__ = ["Difference", "Likeness", "compare", "side_by_side"]

_WINDOW_S: Final = 4.0
_NOISE: Final = 1
"""Steps of 16 bits by which two voices may differ from how they were rounded."""


@attrs.frozen(kw_only=True)
class Difference:
    """The first frame whose tokens differ."""

    frame: int
    at_s: float
    recorded: tuple[int, str, float]
    """Token, its text, its probability."""
    replayed: tuple[int, str, float]

    def as_object(self) -> dict[str, Any]:
        names = ("token", "text", "probability")
        return {
            "frame": self.frame,
            "at_s": round(self.at_s, 3),
            "recorded": dict(zip(names, self.recorded, strict=True)),
            "replayed": dict(zip(names, self.replayed, strict=True)),
        }


@attrs.frozen(kw_only=True)
class Likeness:
    """How alike the two runs are, over the frames that both have."""

    frames: int
    differing: int
    """Frames whose text tokens differ."""
    first: Difference | None
    voice_frame: int | None
    """The first frame in which Moshi's voice is another; None where it is the same everywhere."""

    @property
    def same(self) -> bool:
        return self.first is None


def compare(recorded: Recording, replayed: Recording, vocabulary: Vocabulary | None) -> Likeness:
    """Compare two runs; `vocabulary` spells tokens, where both were made with it."""
    frames = min(recorded.frames, replayed.frames)
    before, after = recorded.rows[:frames], replayed.rows[:frames]
    both = before["seen"] & after["seen"]
    differ = np.flatnonzero(both & ((before["token"] != after["token"]) | (before["valid"] != after["valid"])))
    voices = [run.pcm[:frames, :, 1].astype(np.int32) for run in (recorded, replayed)]
    apart = np.abs(voices[0] - voices[1]).max(axis=1, initial=0)
    spoken = np.flatnonzero(both & (apart > _NOISE))
    first = None
    if len(differ):
        at = int(differ[0])
        first = Difference(
            frame=at,
            at_s=at * recorded.frame_s,
            recorded=_token(before[at], vocabulary),
            replayed=_token(after[at], vocabulary),
        )
    return Likeness(
        frames=int(both.sum()),
        differing=len(differ),
        first=first,
        voice_frame=int(spoken[0]) if len(spoken) else None,
    )


def side_by_side(
    recorded: Sequence[ExtractedText], replayed: Sequence[ExtractedText]
) -> Iterator[tuple[str, str, str]]:
    """Yield the time and what Moshi said from then on in both runs, some seconds at a time."""
    last = max((text.start_s for text in (*recorded, *replayed)), default=-1.0)
    for window in range(int(last // _WINDOW_S) + 1):
        left, right = (_said(run, window) for run in (recorded, replayed))
        if left or right:
            yield f"{window * _WINDOW_S:.0f} s", left, right


def _said(texts: Sequence[ExtractedText], window: int) -> str:
    return " ".join(
        text.text.strip() for text in texts if text.speaker == "moshi" and int(text.start_s // _WINDOW_S) == window
    )


def _token(row: Any, vocabulary: Vocabulary | None) -> tuple[int, str, float]:
    token = int(row["token"])
    spelt = ""
    if vocabulary is not None and vocabulary.is_text(token):
        spelt = vocabulary.pieces[token].decode(errors="replace")
    return token, spelt, round(float(row["probability"]), 4)
