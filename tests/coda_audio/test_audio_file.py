from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from coda_audio.audio_file import AudioFile
from coda_core.audio import AudioFormat
from coda_core.errors import AudioError

_LOGGER = logging.getLogger("coda.test")


def _tone(seconds: float = 1.0, rate: int = 24_000, channels: int = 1) -> NDArray[np.float32]:
    time = np.arange(round(seconds * rate)) / rate
    pitches = 220.0 * (1 + np.arange(channels))
    return (0.4 * np.sin(2 * np.pi * time[:, None] * pitches)).astype(np.float32)


def _read_all(file: AudioFile, chunk: int) -> NDArray[np.float32]:
    parts = []
    while len(part := file.read(chunk)):
        assert part.dtype == np.float32
        parts.append(part)
    assert all(len(part) == chunk for part in parts[:-1])
    return np.concatenate(parts)


@pytest.mark.parametrize(
    ("name", "format", "subtype", "tolerance"),
    [
        ("a.wav", "WAV", "PCM_16", 1e-4),
        ("a.wav", "WAV", "PCM_U8", 1e-2),
        ("a.wav", "WAV", "PCM_24", 1e-6),
        ("a.wav", "WAV", "FLOAT", 0.0),
        ("a.wav", "RF64", "PCM_16", 1e-4),
        ("a.flac", "FLAC", "PCM_16", 1e-4),
        ("a.ogg", "OGG", "VORBIS", 0.1),
        ("a.opus", "OGG", "OPUS", 0.1),
        ("a.mp3", "MP3", "MPEG_LAYER_III", 0.1),
        ("no-suffix", "FLAC", "PCM_16", 1e-4),
    ],
)
def test_reads_every_format(tmp_path: Path, name: str, format: str, subtype: str, tolerance: float) -> None:
    tone = _tone(1.0, 48_000)
    soundfile.write(tmp_path / name, tone, 48_000, format=format, subtype=subtype)
    file = AudioFile(tmp_path / name, _LOGGER)
    heard = _read_all(file, 1000)
    assert file.format == AudioFormat(48_000, 1)
    assert heard.shape == tone.shape
    middle = slice(4800, -4800)
    assert np.max(np.abs(heard[middle] - tone[middle])) <= tolerance
    file.close()


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (11_025, 2), (44_100, 2), (96_000, 6), (192_000, 1)])
def test_takes_any_rate_and_channels(tmp_path: Path, rate: int, channels: int) -> None:
    tone = _tone(0.5, rate, channels)
    soundfile.write(tmp_path / "a.wav", tone, rate, subtype="FLOAT")
    file = AudioFile(tmp_path / "a.wav", _LOGGER)
    assert file.format == AudioFormat(rate, channels)
    assert np.array_equal(_read_all(file, 777), tone)


def test_nan_samples_come_through(tmp_path: Path) -> None:
    tone = _tone(0.1)
    tone[100:200] = np.nan
    soundfile.write(tmp_path / "a.wav", tone, 24_000, subtype="FLOAT")
    assert np.array_equal(_read_all(AudioFile(tmp_path / "a.wav", _LOGGER), 500), tone, equal_nan=True)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.opus", "a.mp3"])
@pytest.mark.parametrize("chunk", [1, 577, 1000, 4800, 100_000])
def test_blocks_of_any_size_hold_the_same_audio(tmp_path: Path, name: str, chunk: int) -> None:
    noise = np.random.default_rng(2).uniform(-0.5, 0.5, 5_000 if chunk == 1 else 48_000)
    soundfile.write(tmp_path / name, noise, 24_000, **({"format": "OGG", "subtype": "OPUS"} if "opus" in name else {}))
    heard = _read_all(AudioFile(tmp_path / name, _LOGGER), chunk)
    assert np.array_equal(heard, _read_all(AudioFile(tmp_path / name, _LOGGER), 200_000))
    at_once, _ = soundfile.read(tmp_path / name, dtype="float32", always_2d=True)
    assert heard.shape == at_once.shape
    assert np.max(np.abs(heard - at_once)) < 1e-5


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_rewinds_to_the_very_same_audio(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / name, _tone(), 24_000)
    file = AudioFile(tmp_path / name, _LOGGER)
    first = _read_all(file, 1000)
    file.rewind()
    assert np.array_equal(_read_all(file, 1000), first)


def _refusal(path: Path) -> str:
    with pytest.raises(AudioError) as caught:
        AudioFile(path, _LOGGER)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "does not exist" in _refusal(tmp_path / "gone.wav")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert "is a folder" in _refusal(tmp_path)


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    assert "no regular file" in _refusal(tmp_path / "pipe.wav")


def test_an_impossible_name_is_one_message(tmp_path: Path) -> None:
    assert "cannot be read: File name too long" in _refusal(tmp_path / ("x" * 300))


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.flac", "a.ogg"])
def test_an_empty_file_is_told_as_such(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert "empty (0 bytes)" in _refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.flac", "a.ogg", "a.txt", "a.raw", "a"])
def test_what_is_no_audio_is_told_as_such(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"All work and no play makes Jack a dull boy.\n" * 100)
    message = _refusal(tmp_path / name)
    assert "is not audio that can be read" in message
    assert "give a WAV, FLAC, OGG or MP3 file" in message


def test_a_file_without_samples_has_no_audio(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", _tone(0.0), 24_000)
    assert "has no audio" in _refusal(tmp_path / "a.wav")


def test_a_rate_beyond_what_coda_takes_names_the_file(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", _tone(0.1), 2_000)
    assert "2000 Hz is not supported" in _refusal(tmp_path / "a.wav")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
@pytest.mark.parametrize("kept", [20, 60, 200])
def test_a_file_cut_in_its_header_is_refused_or_gives_what_it_holds(tmp_path: Path, name: str, kept: int) -> None:
    soundfile.write(tmp_path / "whole", _tone(3.0), 24_000, format=name[2:])
    (tmp_path / name).write_bytes((tmp_path / "whole").read_bytes()[:kept])
    with suppress(AudioError):
        assert 0 < len(_read_all(AudioFile(tmp_path / name, _LOGGER), 1000)) <= kept


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3"])
def test_a_file_cut_in_the_middle_gives_what_it_holds_and_warns_once(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    soundfile.write(tmp_path / "whole", _tone(3.0), 24_000, format=name[2:])
    whole = _read_all(AudioFile(tmp_path / "whole", _LOGGER), 1000)
    data = (tmp_path / "whole").read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    file = AudioFile(tmp_path / name, _LOGGER)
    heard = _read_all(file, 1000)
    assert 24_000 < len(heard) < 48_000
    # The very last packet of a cut MP3 is decoded from half of its data.
    certain = len(heard) - 2_304
    assert np.array_equal(heard[:certain], whole[:certain])
    assert len(file.read(1000)) == 0
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "of its 3.00 seconds can be read" in caplog.text


def test_a_file_damaged_in_the_middle_gives_what_comes_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 72_000).astype(np.float32)
    soundfile.write(tmp_path / "a.flac", noise, 24_000)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 20_000] = bytes(20_000)
    (tmp_path / "a.flac").write_bytes(data)
    heard = _read_all(AudioFile(tmp_path / "a.flac", _LOGGER), 1000)
    assert 20_000 < len(heard) < 40_000
    assert np.max(np.abs(heard[:, 0] - noise[: len(heard)])) < 1e-4
    assert "shortened or damaged" in caplog.text


def test_a_file_whose_audio_is_all_damaged_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", _tone(), 24_000)
    (tmp_path / "a.flac").write_bytes((tmp_path / "a.flac").read_bytes()[:200])
    assert "none of its audio can be read" in _refusal(tmp_path / "a.flac")


def test_a_header_that_was_never_completed_is_no_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    soundfile.write(tmp_path / "a.wav", _tone(), 24_000)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    (tmp_path / "a.wav").write_bytes(data)
    assert len(_read_all(AudioFile(tmp_path / "a.wav", _LOGGER), 1000)) == 24_000
    assert not caplog.records
