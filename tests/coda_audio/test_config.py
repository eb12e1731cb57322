from __future__ import annotations

from pathlib import Path

import pytest

from coda_audio.config import FileSourceConfig, FileTransportConfig, SilenceSourceConfig
from coda_core.fields import fields_of


@pytest.mark.parametrize("config", [FileSourceConfig, FileTransportConfig, SilenceSourceConfig])
def test_every_setting_says_what_it_is(config: type) -> None:
    assert all(field.known.help for field in fields_of(config))


def test_a_transport_without_any_file_is_refused() -> None:
    with pytest.raises(ValueError, match="give path, stereo_path or both"):
        FileTransportConfig()


@pytest.mark.parametrize("name", ["reply.mp3", "reply", "reply.wav.txt"])
def test_only_wav_names_are_taken(name: str) -> None:
    with pytest.raises(ValueError, match=r"ends in \.wav"):
        FileTransportConfig(path=Path(name))


def test_two_files_need_two_names() -> None:
    with pytest.raises(ValueError, match="two different files"):
        FileTransportConfig(path=Path("a.wav"), stereo_path=Path("a.wav"))


def test_upper_case_names_are_wav_too() -> None:
    assert FileTransportConfig(path=Path("REPLY.WAV")).overwrite
