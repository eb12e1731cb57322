from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from coda_audio.config import FileTransportConfig
from coda_audio.recording import Recording
from coda_core.audio import AudioFrame
from coda_core.errors import AudioError
from coda_core.interfaces import Context

_SAMPLES = 1920


def _frame(index: int, *, said: float, heard: float) -> AudioFrame:
    return AudioFrame(
        conversation="c",
        frame=index,
        pcm=np.full(_SAMPLES, said, np.float32),
        heard=np.full(_SAMPLES, heard, np.float32),
    )


def test_both_sides_lie_on_one_clock(tmp_path: Path, context: Context) -> None:
    recording = Recording(FileTransportConfig(path=Path("reply.wav"), stereo_path=Path("both.wav")), context)
    recording.open()
    recording.write([_frame(index, said=index / 16, heard=-index / 32) for index in (0, 1, 2)])
    recording.write([_frame(index, said=index / 16, heard=-index / 32) for index in (5, 6)])
    recording.finish()
    reply, rate = soundfile.read(tmp_path / "reply.wav", dtype="float32")
    both, _ = soundfile.read(tmp_path / "both.wav", dtype="float32")
    assert rate == 24_000
    assert reply[::_SAMPLES].tolist() == [0, 1 / 16, 2 / 16, 0, 0, 5 / 16, 6 / 16]
    assert both[::_SAMPLES, 0].tolist() == [0, -1 / 32, -2 / 32, 0, 0, -5 / 32, -6 / 32]
    assert np.array_equal(both[:, 1], reply)
    assert len(reply) == 7 * _SAMPLES


@pytest.mark.parametrize(
    ("config", "channels"),
    [(FileTransportConfig(path=Path("a.wav")), 1), (FileTransportConfig(stereo_path=Path("a.wav")), 2)],
)
def test_either_file_alone(tmp_path: Path, context: Context, config: FileTransportConfig, channels: int) -> None:
    recording = Recording(config, context)
    recording.open()
    recording.write([_frame(0, said=0.5, heard=0.5)])
    recording.finish()
    assert soundfile.info(tmp_path / "a.wav").channels == channels


def test_clipping_is_logged(context: Context, caplog: pytest.LogCaptureFixture) -> None:
    recording = Recording(FileTransportConfig(path=Path("a.wav")), context)
    recording.open()
    recording.write([_frame(0, said=1.5, heard=0.0)])
    recording.finish()
    assert "1920 samples were louder than full scale" in caplog.text


def test_a_second_file_that_cannot_be_written_leaves_nothing_of_the_first(tmp_path: Path, context: Context) -> None:
    config = FileTransportConfig(path=Path("a.wav"), stereo_path=Path("missing/b.wav"))
    recording = Recording(config, context)
    with pytest.raises(AudioError, match="missing"):
        recording.open()
    recording.discard()
    assert list(tmp_path.iterdir()) == []
