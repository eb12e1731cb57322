"""Reading an audio file block by block, with errors for people. For a thread: everything here may wait for a disk."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import soundfile

from coda_core.audio import AudioFormat
from coda_core.errors import AudioError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["AudioFile"]

_UNKNOWN_LENGTH: Final = 2**31 - 1
"""A WAV header that was written before the length was known declares this or more."""
_UNKNOWN_FRAMES: Final = 2**62
"""libsndfile gives more than this for a file whose length it cannot know."""
_BAD_FILE: Final = 7
"""libsndfile's code for a file that its MP3 decoder gives up on; its text then speaks of a missing file."""


class _ForwardFile(soundfile.SoundFile):  # type: ignore[misc]  # the library has no types
    """A sound file that is only read onwards.

    `soundfile` seeks to where it is after every read of a file that can seek. In an MP3 file this throws away what
    the decoder holds of the frames before, and every block begins with wrong samples.
    """

    def seekable(self) -> bool:
        return False


class AudioFile:
    """An open audio file of any format, rate and channel count that libsndfile reads.

    Raises `AudioError` where the file is missing, no audio, damaged so that nothing can be read, or empty. One
    that ends early or is damaged further in gives what can be read of it, and a warning in the log.
    """

    def __init__(self, path: Path, logger: logging.Logger) -> None:
        self._path = path
        self._logger = logger
        _check_readable(path)
        self._file = _opened(path)
        try:
            self.format = self._known_format()
            self._check_holds_audio()
        except BaseException:
            self._file.close()
            raise

    def read(self, samples: int) -> NDArray[np.float32]:
        """Return the next ``[n, channels]`` samples, full scale 1.0; fewer at the end of the file, none behind it."""
        try:
            pcm: NDArray[np.float32] = self._file.read(samples, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError:
            pcm = np.zeros((0, self.format.channels), np.float32)
        self._read_samples += len(pcm)
        if not len(pcm) and self._read_samples < self._declared_samples:
            self._warn_of_early_end()
        return pcm

    def rewind(self) -> None:
        """Start again at the first sample."""
        # Opened anew, because an MP3 decoder that seeks to the beginning does not give the very same samples.
        self._file.close()
        self._file = _opened(self._path)
        self._read_samples = 0
        self._declared_samples = self._declared_length()

    def close(self) -> None:
        self._file.close()

    def _known_format(self) -> AudioFormat:
        try:
            return AudioFormat(self._file.samplerate, self._file.channels)
        except AudioError as error:
            raise AudioError(f"{self._path} cannot be used: {error}") from None

    def _check_holds_audio(self) -> None:
        if not self._file.frames:
            raise AudioError(f"{self._path} has no audio: its length is 0; give a recording that holds some")
        try:
            readable = len(self._file.read(1, dtype="float32", always_2d=True)) > 0
        except soundfile.LibsndfileError:
            readable = False
        if not readable:
            raise AudioError(f"{self._path} is damaged: none of its audio can be read; give a file that is whole")
        self.rewind()

    def _declared_length(self) -> int:
        """Samples per channel that the file says it holds; 0 where it does not say."""
        # libsndfile takes what a shortened WAV file still holds for its length, and keeps a note of it.
        shortened = re.search(r"^data : (\d+) \(should be (\d+)\)", self._file.extra_info, re.MULTILINE)
        frames: int = self._file.frames
        if shortened is not None and int(shortened[1]) < _UNKNOWN_LENGTH:
            return round(frames * int(shortened[1]) / int(shortened[2]))
        return frames if frames < _UNKNOWN_FRAMES else 0

    def _warn_of_early_end(self) -> None:
        rate = self.format.sample_rate_hz
        self._logger.warning(
            "%s is shortened or damaged: %.2f of its %.2f seconds can be read, and are used",
            self._path,
            self._read_samples / rate,
            self._declared_samples / rate,
        )
        self._declared_samples = 0


def _check_readable(path: Path) -> None:
    try:
        if not path.exists():
            raise AudioError(f"{path} does not exist; give the path of an audio file")
        if not path.is_file():
            kind = "a folder" if path.is_dir() else "no regular file"
            raise AudioError(f"{path} is {kind}; give the path of an audio file")
        if not os.access(path, os.R_OK):
            raise AudioError(f"{path} may not be read by this user; change its permissions (chmod +r)")
        if path.stat().st_size == 0:
            raise AudioError(f"{path} is empty (0 bytes); give a file that holds audio")
    except OSError as error:
        raise AudioError(f"{path} cannot be read: {error.strerror}; give the path of an audio file") from None


def _opened(path: Path) -> _ForwardFile:
    try:
        return _ForwardFile(path)
    except TypeError:
        reason = " (a file of raw samples tells neither rate nor channels)"
    except soundfile.LibsndfileError as error:
        reason = "" if error.code == _BAD_FILE else f" ({error.error_string.rstrip('.')})"
    raise AudioError(f"{path} is not audio that can be read{reason}; give a WAV, FLAC, OGG or MP3 file that is whole")
