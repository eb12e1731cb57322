"""The files of one recorded conversation, on the step clock."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from coda_audio.config import FileTransportConfig
from coda_audio.wav_writer import WavWriter
from coda_core.audio import AudioFrame
from coda_core.interfaces import Context

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Recording"]


class Recording:
    """Writes Moshi's voice, both sides in stereo, or both files. For one thread at a time.

    Raises `AudioError` where a file cannot be written.
    """

    def __init__(self, config: FileTransportConfig, context: Context) -> None:
        self._config = config
        self._base_dir = context.base_dir
        self._logger = context.logger
        self._voice: WavWriter | None = None
        self._stereo: WavWriter | None = None

    def open(self) -> None:
        """Begin the files under temporary names."""
        overwrite = self._config.overwrite
        if self._config.path is not None:
            self._voice = WavWriter(self._base_dir / self._config.path, channels=1, overwrite=overwrite)
        if self._config.stereo_path is not None:
            self._stereo = WavWriter(self._base_dir / self._config.stereo_path, channels=2, overwrite=overwrite)

    def write(self, frames: Sequence[AudioFrame]) -> None:
        """Write frames, each at its place on the step clock; steps that are left out are silence."""
        for frame in frames:
            start = frame.frame * len(frame.pcm)
            if self._voice is not None:
                self._voice.write(start, frame.pcm[:, None], frame.sample_rate_hz)
            if self._stereo is not None:
                self._stereo.write(start, _side_by_side(frame), frame.sample_rate_hz)
        for writer in self._writers():
            writer.commit()

    def finish(self) -> None:
        """Give the files their names; one that nothing was written to gets none."""
        with ExitStack() as exits:
            for writer in self._writers():
                exits.callback(self._finish, writer)

    def discard(self) -> None:
        """Remove what is not finished."""
        for writer in self._writers():
            writer.discard()

    def _writers(self) -> list[WavWriter]:
        return [writer for writer in (self._voice, self._stereo) if writer is not None]

    def _finish(self, writer: WavWriter) -> None:
        path = writer.path
        if writer.clipped:
            self._logger.warning("%s: %d samples were louder than full scale and were clipped", path, writer.clipped)
        if writer.left_out:
            self._logger.error("%s: a WAV file ends at 4 GiB; %d samples were left out", path, writer.left_out)
        if writer.finish():
            self._logger.info("recorded %s", path)


def _side_by_side(frame: AudioFrame) -> NDArray[np.float32]:
    return np.stack([frame.heard, frame.pcm], axis=1)
