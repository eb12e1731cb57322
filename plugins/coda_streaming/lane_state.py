"""What a parked conversation has of its lane: the streaming manager's own part of a `ParkedState`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, Self

import attrs
import numpy as np
from numpy.typing import NDArray

from coda_core.audio import AudioFormat
from coda_core.errors import ModelError

__all__ = ["LaneState"]

_VERSION: Final = 1


@attrs.frozen(eq=False, kw_only=True)
class LaneState:
    """Input on its way, what was noticed so far, and counters; as bytes a line of JSON with samples behind it."""

    queue: Sequence[NDArray[np.float32]]
    """Frames that wait for the model."""
    rest: NDArray[np.float32]
    """Samples that do not fill a frame yet, mono, at the model's rate."""
    format: AudioFormat | None
    """Of the block that came last, where nothing of it was resampled."""
    caller: tuple[bool, int, float]
    """From `SpeechActivity.export`."""
    moshi: tuple[bool, int, float]
    said: Mapping[int, str]
    """Texts by number that the model was asked to say and that are not over."""
    missed: Mapping[str, int]
    """By follower: records that it was too slow for and was not told of."""
    prompt_left: int
    gap: int
    dropped: int
    filled: int
    late: int
    nan_samples: int

    def to_bytes(self) -> bytes:
        text = {
            "version": _VERSION,
            "queue": len(self.queue),
            "rest": len(self.rest),
            "format": None if self.format is None else attrs.asdict(self.format),
            **{name: getattr(self, name) for name in _PLAIN},
        }
        samples = (np.asarray(each, "<f4").tobytes() for each in (*self.queue, self.rest))
        return b"".join((json.dumps(text).encode(), b"\n", *samples))

    @classmethod
    def from_bytes(cls, data: bytes, frame_samples: int) -> Self:
        """Raises `ModelError` for bytes that another version, or another streaming manager, has written."""
        try:
            line, _, pcm = data.partition(b"\n")
            text = json.loads(line)
            if text["version"] != _VERSION:
                raise ValueError
            samples = np.frombuffer(pcm, "<f4").astype(np.float32)
            if len(samples) != text["queue"] * frame_samples + text["rest"]:
                raise ValueError
            frames = samples[: text["queue"] * frame_samples].reshape(-1, frame_samples)
            format = text["format"]
            plain = {name: text[name] for name in _PLAIN}
            plain["said"] = {int(number): each for number, each in plain["said"].items()}
            return cls(
                queue=list(frames),
                rest=samples[frames.size :],
                format=None if format is None else AudioFormat(**format),
                **plain,
            )
        except (ValueError, KeyError, TypeError):
            raise ModelError(
                "the conversation was parked by another streaming manager, or by another version of this one: "
                "its input cannot be taken over"
            ) from None


_PLAIN: Final = tuple(field.name for field in attrs.fields(LaneState) if field.name not in ("queue", "rest", "format"))
