"""Writing a 16-bit WAV file that appears under its name only when it is whole.

Written by hand where libraries exist, for three things that they do not give: the header is right after every
`commit`, so that even a killed process leaves a file that plays; samples can be placed anywhere, and what is
left out is silence; and every failure is an `OSError`.
"""

from __future__ import annotations

import os
import secrets
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from coda_core.errors import AudioError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["WavWriter"]

_HEADER: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")
_SAMPLE_BYTES: Final = 2
_MOST_DATA_BYTES: Final = 2**32 - 1 - _HEADER.size
"""A WAV file tells its length in 32 bits."""


class WavWriter:
    """A WAV file under construction, under a temporary name beside its own.

    Raises `AudioError` where the file cannot be written; what was committed before is kept under the temporary
    name, which the message tells. For one thread at a time.
    """

    def __init__(self, path: Path, *, channels: int, overwrite: bool) -> None:
        self.path = path
        self.clipped = 0
        """Samples that were louder than full scale."""
        self.left_out = 0
        """Samples per channel that a WAV file has no room for."""
        self._channels = channels
        self._sample_rate_hz = 0
        self._data_bytes = 0
        # A link is followed now: renaming would replace it instead of what it points to.
        self._target = Path(os.path.realpath(path))
        self._part = self._target.with_name(f"{self._target.name}.{secrets.token_hex(4)}.part")
        try:
            _check_writable(path, overwrite)
            self._file = self._part.open("xb")
        except OSError as error:
            raise AudioError(
                f"{path} cannot be written: {error.strerror}; give a file in a folder that this user may write to"
            ) from None

    def write(self, start: int, pcm: NDArray[np.float32], sample_rate_hz: int) -> None:
        """Place ``[n, channels]`` samples, full scale 1.0, at sample `start`; all calls give one rate.

        Louder samples are clipped and counted; NaN becomes silence.
        """
        if self._file.closed:
            return
        room = _MOST_DATA_BYTES // (_SAMPLE_BYTES * self._channels) - start
        if len(pcm) > room:
            self.left_out += len(pcm)
            return
        self.clipped += int(np.count_nonzero(np.abs(pcm) > 1.0))
        scaled = np.minimum(np.rint(np.clip(np.nan_to_num(pcm), -1.0, 1.0) * 32768.0), 32767.0).astype("<i2")
        first = start * self._channels * _SAMPLE_BYTES
        self._sample_rate_hz = sample_rate_hz
        try:
            self._file.seek(_HEADER.size + first)
            self._file.write(scaled.tobytes())
        except OSError as error:
            raise self._failed(error) from None
        self._data_bytes = max(self._data_bytes, first + scaled.nbytes)

    def commit(self) -> None:
        """Bring what was written, and a header that tells its length, into the file."""
        if self._file.closed or not self._data_bytes:
            return
        try:
            self._file.seek(0)
            self._file.write(self._header())
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from None

    def finish(self) -> bool:
        """Give the file its name and return True; where nothing was written there is none, and False."""
        if self._file.closed:
            return False
        if not self._data_bytes:
            self.discard()
            return False
        self.commit()
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.replace(self._target)
        except OSError as error:
            raise self._failed(error) from None
        return True

    def discard(self) -> None:
        """Remove the file unless it is finished or failed. Does nothing the second time."""
        if not self._file.closed:
            self._file.close()
            self._part.unlink(missing_ok=True)

    def _failed(self, error: OSError) -> AudioError:
        # Not through `close`, which would try to write once more what could not be written.
        self._file.raw.close()
        return AudioError(
            f"{self.path} could not be written to its end: {error.strerror}; "
            f"what was recorded before is in {self._part}"
        )

    def _header(self) -> bytes:
        frame_bytes = self._channels * _SAMPLE_BYTES
        return _HEADER.pack(
            *(b"RIFF", _HEADER.size - 8 + self._data_bytes, b"WAVE"),
            *(b"fmt ", 16, 1, self._channels, self._sample_rate_hz),
            *(self._sample_rate_hz * frame_bytes, frame_bytes, 8 * _SAMPLE_BYTES),
            *(b"data", self._data_bytes),
        )


def _check_writable(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise AudioError(f"{path} is a folder; give the name of a WAV file to write")
    if not path.parent.is_dir():
        raise AudioError(f"{path} cannot be written: the folder {path.parent} does not exist; create it first")
    if not path.exists():
        return
    if not path.is_file() or not os.access(path, os.W_OK):
        raise AudioError(f"{path} cannot be replaced by a recording; give another name, or make it writable")
    if not overwrite:
        raise AudioError(f"{path} exists and overwrite is false; give another name, or set overwrite = true")
