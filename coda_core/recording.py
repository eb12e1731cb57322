"""Both voices of a conversation and the tokens of its steps, as a state manager keeps them beside the events.

A recording lies in the store in parts of some seconds, blobs named by `part_name` and numbered from 0. A part is a line
of JSON, then for each of its frames a row of `ROWS`, then both voices as one FLAC file: 16 bits, the caller on the
left, Moshi on the right, on the step clock. A frame that nobody saw is silence, and its row says so.
"""

from __future__ import annotations

import io
import json
from typing import Any, Final

import attrs
import numpy as np
import soundfile
from numpy.typing import NDArray

from coda_core.errors import StoreError
from coda_core.interfaces import StateStore

__all__ = ["ROWS", "Part", "Recording", "part_name", "read_recording"]

_VERSION: Final = 1

ROWS: Final = np.dtype(
    [
        ("token", "<i4"),
        ("probability", "<f4"),
        ("lateness_s", "<f4"),
        ("seen", "?"),
        ("valid", "?"),
        ("injected", "?"),
        ("caller_speaking", "?"),
        ("moshi_speaking", "?"),
    ]
)
"""What is kept of a frame beside its audio: fields of `coda_core.interfaces.StepRecord`; `seen` is False where there
was no record of it, and `valid` where Moshi gave no audio."""


def part_name(number: int) -> str:
    """Return the name of the blob that holds a part."""
    return f"recording-{number:05d}"


@attrs.frozen(eq=False, kw_only=True)
class Part:
    """Some frames in a row."""

    first_frame: int
    sample_rate_hz: int
    rows: NDArray[Any]
    """``[frames]`` of `ROWS`."""
    pcm: NDArray[np.int16]
    """``[frames * frame_samples, 2]``: the caller, then Moshi."""

    def to_bytes(self) -> bytes:
        header = {
            "version": _VERSION,
            "first_frame": self.first_frame,
            "frames": len(self.rows),
            "sample_rate_hz": self.sample_rate_hz,
        }
        voices = io.BytesIO()
        if len(self.pcm):  # a FLAC file of nothing cannot be opened again
            soundfile.write(voices, self.pcm, self.sample_rate_hz, format="FLAC", subtype="PCM_16")
        return b"".join((json.dumps(header).encode(), b"\n", self.rows.astype(ROWS).tobytes(), voices.getvalue()))

    @classmethod
    def from_bytes(cls, data: bytes) -> Part:
        """Return what `to_bytes` was called on; raises ValueError for bytes that are no part."""
        line, _, rest = data.partition(b"\n")
        try:
            header = json.loads(line)
            if header["version"] != _VERSION:
                raise ValueError(f"it has version {header['version']}, and this Coda reads {_VERSION}")
            size = header["frames"] * ROWS.itemsize
            pcm, rows = np.zeros((0, 2), np.int16), np.frombuffer(rest[:size], ROWS)
            if len(rows):
                pcm, _ = soundfile.read(io.BytesIO(rest[size:]), dtype="int16", always_2d=True)
        except (KeyError, TypeError, soundfile.LibsndfileError) as error:
            raise ValueError(f"it is damaged ({error})") from error
        return cls(first_frame=header["first_frame"], sample_rate_hz=header["sample_rate_hz"], rows=rows, pcm=pcm)


@attrs.frozen(eq=False, kw_only=True)
class Recording:
    """A whole conversation, from its frame 0; frames that are in no part are not `seen`."""

    sample_rate_hz: int
    rows: NDArray[Any]
    """``[frames]`` of `ROWS`."""
    pcm: NDArray[np.int16]
    """``[frames, frame_samples, 2]``: the caller, then Moshi."""

    @property
    def frames(self) -> int:
        return len(self.rows)

    @property
    def frame_s(self) -> float:
        return int(self.pcm.shape[1]) / self.sample_rate_hz

    @property
    def missing(self) -> int:
        """Frames that are silence because nobody saw them."""
        return int((~self.rows["seen"]).sum())

    @property
    def voices(self) -> NDArray[np.int16]:
        """``[samples, 2]``: the caller, then Moshi."""
        return self.pcm.reshape(-1, 2)


def read_recording(store: StateStore, conversation: str) -> Recording | None:
    """Return what was recorded of a conversation, None where nothing was; raises `StoreError` where it is damaged."""
    parts: list[Part] = []
    while store.has_blob(conversation, name := part_name(len(parts))):
        try:
            parts.append(Part.from_bytes(b"".join(store.get_blob(conversation, name))))
        except ValueError as error:
            raise StoreError(f"{name!r} of conversation {conversation} cannot be read: {error}") from error
    if not parts:
        return None
    samples = max(len(part.pcm) // max(len(part.rows), 1) for part in parts)
    frames = max(part.first_frame + len(part.rows) for part in parts)
    rows = np.zeros(frames, ROWS)
    pcm = np.zeros((frames, samples, 2), np.int16)
    for part in parts:
        place = slice(part.first_frame, part.first_frame + len(part.rows))
        rows[place] = part.rows
        pcm[place] = part.pcm.reshape(-1, samples, 2)
    return Recording(sample_rate_hz=parts[0].sample_rate_hz, rows=rows, pcm=pcm)
