from __future__ import annotations

import resource
import signal
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from coda_audio.wav_writer import WavWriter
from coda_core.errors import AudioError


@contextmanager
def _largest_file(size: int) -> Iterator[None]:
    """Make every write beyond `size` bytes fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_every_int16_value_comes_back(tmp_path: Path) -> None:
    values = np.arange(-32768, 32768, dtype=np.int16)
    writer = WavWriter(tmp_path / "a.wav", channels=1, overwrite=True)
    writer.write(0, values[:, None].astype(np.float32) / np.float32(32768), 24_000)
    assert writer.finish()
    heard, rate = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert rate == 24_000
    assert np.array_equal(heard, values)
    assert writer.clipped == 0


def test_the_header_is_what_the_standard_library_reads(tmp_path: Path) -> None:
    writer = WavWriter(tmp_path / "a.wav", channels=2, overwrite=True)
    writer.write(0, np.zeros((7, 2), np.float32), 16_000)
    writer.finish()
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert file.getparams()[:5] == (2, 2, 16_000, 7, "NONE")
    assert (tmp_path / "a.wav").stat().st_size == 44 + 7 * 2 * 2


def test_samples_lie_where_they_were_placed_and_the_rest_is_silence(tmp_path: Path) -> None:
    writer = WavWriter(tmp_path / "a.wav", channels=1, overwrite=True)
    writer.write(5000, np.full((10, 1), 0.5, np.float32), 24_000)
    writer.write(100, np.full((10, 1), -0.5, np.float32), 24_000)
    writer.finish()
    expected = np.zeros(5010, np.float32)
    expected[5000:], expected[100:110] = 0.5, -0.5
    assert np.array_equal(soundfile.read(tmp_path / "a.wav", dtype="float32")[0], expected)


def test_loud_samples_are_clipped_and_counted(tmp_path: Path) -> None:
    writer = WavWriter(tmp_path / "a.wav", channels=1, overwrite=True)
    loud = np.array([1.5, -1.5, 1.0, -1.0, np.inf, -np.inf, np.nan, 3e38], np.float32)
    writer.write(0, loud[:, None], 24_000)
    writer.finish()
    heard, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert heard.tolist() == [32767, -32768, 32767, -32768, 32767, -32768, 0, 32767]
    assert writer.clipped == 5


def test_until_it_is_finished_there_is_no_file_of_that_name(tmp_path: Path) -> None:
    writer = WavWriter(tmp_path / "a.wav", channels=1, overwrite=True)
    writer.write(0, np.full((1000, 1), 0.25, np.float32), 24_000)
    writer.commit()
    (part,) = tmp_path.iterdir()
    assert part.name.startswith("a.wav.")
    assert part.suffix == ".part"
    # What a killed process would leave behind plays.
    assert soundfile.info(part).frames == 1000
    writer.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_a_recording_of_nothing_leaves_the_one_before_alone(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"precious")
    writer = WavWriter(tmp_path / "a.wav", channels=1, overwrite=True)
    assert not writer.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
    assert (tmp_path / "a.wav").read_bytes() == b"precious"


def test_discarding_leaves_nothing(tmp_path: Path) -> None:
    writer = WavWriter(tmp_path / "a.wav", channels=1, overwrite=True)
    writer.write(0, np.zeros((10, 1), np.float32), 24_000)
    writer.discard()
    writer.discard()
    assert not writer.finish()
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "a.wav").symlink_to(tmp_path / "kept" / "b.wav")
    writer = WavWriter(tmp_path / "a.wav", channels=1, overwrite=True)
    writer.write(0, np.zeros((10, 1), np.float32), 24_000)
    writer.finish()
    assert (tmp_path / "a.wav").is_symlink()
    assert soundfile.info(tmp_path / "kept" / "b.wav").frames == 10


def _refusal(path: Path, *, overwrite: bool = True) -> str:
    with pytest.raises(AudioError) as caught:
        WavWriter(path, channels=1, overwrite=overwrite)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    assert "is a folder" in _refusal(tmp_path / "folder.wav")
    assert "does not exist; create it first" in _refusal(tmp_path / "missing" / "a.wav")
    assert "File name too long" in _refusal(tmp_path / ("x" * 300 + ".wav"))
    assert [path.name for path in tmp_path.iterdir()] == ["folder.wav"]


def test_an_existing_file_is_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"precious")
    assert "overwrite is false" in _refusal(tmp_path / "a.wav", overwrite=False)
    assert (tmp_path / "a.wav").read_bytes() == b"precious"


def test_a_full_disk_is_one_error_and_what_was_recorded_is_kept(tmp_path: Path) -> None:
    writer = WavWriter(tmp_path / "a.wav", channels=1, overwrite=True)
    writer.write(0, np.full((24_000, 1), 0.25, np.float32), 24_000)
    writer.commit()

    def go_on() -> None:
        for second in range(1, 10):
            writer.write(second * 24_000, np.full((24_000, 1), 0.25, np.float32), 24_000)
            writer.commit()

    with _largest_file(100_000), pytest.raises(AudioError, match=r"File too large; what was recorded") as caught:
        go_on()
    (part,) = tmp_path.iterdir()
    assert str(part) in str(caught.value)
    assert 24_000 <= soundfile.info(part).frames <= 50_000
    assert not writer.finish()
    writer.discard()
    assert part.exists()


def test_more_than_a_wav_file_holds_is_left_out_and_counted(tmp_path: Path) -> None:
    writer = WavWriter(tmp_path / "a.wav", channels=1, overwrite=True)
    writer.write(0, np.zeros((1920, 1), np.float32), 24_000)
    writer.write(2**31 - 1000, np.zeros((1920, 1), np.float32), 24_000)
    assert writer.left_out == 1920
    assert writer.finish()
    assert soundfile.info(tmp_path / "a.wav").frames == 1920
