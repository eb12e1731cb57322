"""Recorded speech for tests."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray

from coda_core.audio import AudioFormat

__all__ = ["Recorded", "recorded"]


@attrs.frozen(eq=False)
class Recorded:
    """A recording of somebody speaking."""

    path: Path
    """A WAV file of it."""
    pcm: NDArray[np.float32]
    """``[samples]``, mono, full scale 1.0."""
    format: AudioFormat

    @property
    def duration_s(self) -> float:
        return len(self.pcm) / self.format.sample_rate_hz


def recorded(path: Path) -> Recorded:
    """Write the recording that ships with Coda to `path`, as a WAV file, and return it."""
    import soundfile

    with resources.as_file(resources.files("coda_core.cli.demo") / "recording" / "caller.flac") as source:
        pcm, rate = soundfile.read(source, dtype="float32")
    soundfile.write(path, pcm, rate, subtype="FLOAT")
    return Recorded(path, pcm, AudioFormat(sample_rate_hz=rate))
