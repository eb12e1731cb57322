"""Audio as it travels through Coda: formats, blocks and frames.

A *block* is PCM of any length, rate and channel count, as a source or peer delivers it. A *frame* is what the
model steps on: mono float32, 1,920 samples at 24 kHz for every Moshi checkpoint (80 ms).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, cast

import attrs

from coda_core.errors import AudioError
from coda_core.records import record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "FRAME_S",
    "FRAME_SAMPLES",
    "SAMPLE_RATE_HZ",
    "AudioFormat",
    "AudioFrame",
    "Block",
    "SampleType",
    "rounded",
    "to_float32",
    "to_int16",
]

SAMPLE_RATE_HZ: Final = 24_000
FRAME_SAMPLES: Final = 1_920
FRAME_S: Final = FRAME_SAMPLES / SAMPLE_RATE_HZ

SampleType = Literal["float32", "int16"]

MIN_RATE_HZ: Final = 4_000
MAX_RATE_HZ: Final = 768_000
MAX_CHANNELS: Final = 64


@attrs.frozen
class AudioFormat:
    """How PCM is laid out: interleaved samples of one type, at one rate.

    Raises `AudioError` for a rate outside 4 kHz to 768 kHz, a channel count outside 1 to 64 or an unknown type.
    """

    sample_rate_hz: int = SAMPLE_RATE_HZ
    channels: int = 1
    sample_type: SampleType = "float32"

    def __attrs_post_init__(self) -> None:
        if not MIN_RATE_HZ <= self.sample_rate_hz <= MAX_RATE_HZ:
            raise AudioError(
                f"a sample rate of {self.sample_rate_hz} Hz is not supported; "
                f"give one from {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz"
            )
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise AudioError(f"{self.channels} channels are not supported; give 1 to {MAX_CHANNELS}")
        if self.sample_type not in ("float32", "int16"):
            raise AudioError(f"sample type {self.sample_type!r} is not supported; give 'float32' or 'int16'")


@record(eq=False)
class Block:
    """PCM of any length in one format.

    `pcm` is raw little-endian bytes in `format`, or an array of shape ``[samples]`` or ``[samples, channels]``
    and dtype float32 (full scale is 1.0) or int16.
    """

    pcm: NDArray[np.float32] | NDArray[np.int16] | bytes
    format: AudioFormat = AudioFormat()


@record(eq=False)
class AudioFrame:
    """Both sides of one conversation during one step, on the step clock.

    The step clock counts a conversation's steps: `frame` is the index of the step and `start_s` is ``frame *
    0.08``. Moshi's audio of a step is placed beside the caller's frame that the step consumed. Arrays are
    read-only and shared between subscribers.
    """

    conversation: str
    frame: int
    pcm: NDArray[np.float32]
    """Moshi's voice, ``[frame_samples]``, full scale 1.0; silence where `valid` is False."""
    heard: NDArray[np.float32]
    """The caller as the model heard it: mono, resampled, ``[frame_samples]``."""
    sample_rate_hz: int = SAMPLE_RATE_HZ
    valid: bool = True
    """False while the model is warming up and says nothing yet."""
    lateness_s: float = 0.0
    """Hand-over minus (arrival of the frame's last sample + one frame); below zero is on time."""
    caller_speaking: bool = False
    """Whether the streaming manager takes `heard` for speech; for some quiet frames after its end it still does."""
    moshi_speaking: bool = False
    """The same for `pcm`."""

    @property
    def start_s(self) -> float:
        return self.frame * len(self.pcm) / self.sample_rate_hz


def to_float32(pcm: NDArray[np.float32] | NDArray[np.int16] | bytes, format: AudioFormat) -> NDArray[np.float32]:
    """Return `pcm` as float32 of shape ``[samples, channels]``, full scale 1.0.

    Raises `AudioError` where the data does not match `format`. Values are not clipped and NaN is kept: who cuts
    frames decides what becomes of it.
    """
    import numpy as np

    if isinstance(pcm, (bytes, bytearray, memoryview)):
        width = 4 if format.sample_type == "float32" else 2
        if len(pcm) % (width * format.channels):
            raise AudioError(
                f"{len(pcm)} bytes are not a whole number of {format.channels}-channel {format.sample_type} samples "
                f"({width * format.channels} bytes each)"
            )
        array: NDArray[np.generic] = np.frombuffer(pcm, dtype="<f4" if width == 4 else "<i2")
        array = array.reshape(-1, format.channels)
    else:
        array = np.asarray(pcm)
        if array.ndim == 1 and format.channels == 1:
            array = array[:, None]
        if array.ndim != 2 or array.shape[1] != format.channels:
            raise AudioError(
                f"PCM of shape {list(np.shape(pcm))} does not fit {format.channels} channels; "
                f"expected [samples, {format.channels}]" + (" or [samples]" if format.channels == 1 else "")
            )
    if array.dtype == np.int16:
        return array.astype(np.float32) * np.float32(1 / 32768)
    if array.dtype in (np.float32, np.float64):
        return cast("NDArray[np.float32]", array.astype(np.float32, copy=False))
    raise AudioError(f"PCM of dtype {array.dtype} is not supported; give float32 (full scale 1.0) or int16")


def to_int16(pcm: NDArray[np.float32]) -> NDArray[np.int16]:
    """Return samples of full scale 1.0 as 16-bit integers, to the nearest; what is louder than full scale is clipped.

    What `to_float32` makes of 16-bit integers comes back as it was.
    """
    import numpy as np

    levels: NDArray[np.float32] = np.clip(np.rint(pcm * np.float32(32768)), -32768, 32767)
    return levels.astype(np.int16)


def rounded(pcm: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return samples as a 16-bit recording gives them back: equal to what was given where that came from 16 bits."""
    import numpy as np

    return to_int16(pcm).astype(np.float32) * np.float32(1 / 32768)
