"""Settings of the components for files, silence and sound devices. Light: read when plugins are listed."""

from __future__ import annotations

from pathlib import Path

import attrs

from coda_core.settings import setting

__all__ = ["FileSourceConfig", "FileTransportConfig", "MicrophoneConfig", "SilenceSourceConfig", "SpeakerConfig"]


@attrs.frozen
class FileSourceConfig:
    """Settings of the audio source `file`. Sample rate and channels are the file's own."""

    path: Path = setting(help="audio file to feed: WAV, FLAC, OGG or MP3, of any sample rate and channel count")
    chunk_size: int = setting(4800, help="samples per channel in one block", minimum=1, maximum=1_048_576)
    trailing_silence_s: float = setting(
        0.0,
        help="silence in seconds after the file, so that Moshi can finish its answer",
        minimum=0.0,
        maximum=3600.0,
    )


@attrs.frozen
class SilenceSourceConfig:
    """Settings of the audio source `silence`."""

    sample_rate: int = setting(24_000, help="samples per second", minimum=4_000, maximum=768_000)
    channels: int = setting(1, help="channels", minimum=1, maximum=64)
    chunk_size: int = setting(1920, help="samples per channel in one block", minimum=1, maximum=1_048_576)
    duration_s: float | None = setting(None, help="length in seconds; endless if left out", minimum=0.0)


@attrs.frozen
class FileTransportConfig:
    """Settings of the transport `file`. Both files are 16-bit WAV; at least one has to be named."""

    path: Path | None = setting(None, help="WAV file for Moshi's voice, mono")
    stereo_path: Path | None = setting(
        None, help="WAV file for both on one clock: the caller on the left, Moshi on the right"
    )
    overwrite: bool = setting(
        True, help="replace files that exist, when the new recording is complete; false refuses to start instead"
    )

    def __attrs_post_init__(self) -> None:
        given = [path for path in (self.path, self.stereo_path) if path is not None]
        if not given:
            raise ValueError("no file to write is named; give path, stereo_path or both")
        for path in given:
            if path.suffix.lower() != ".wav":
                raise ValueError(f"{str(path)!r} would hold WAV audio; give a name that ends in .wav")
        if self.path == self.stereo_path:
            raise ValueError(f"path and stereo_path both name {str(self.path)!r}; give two different files")


_DEVICE_HELP = "index of a device in `coda devices`, or its name or a part of it; the system's default if left out"
_RATE_HELP = "samples per second that the device is asked for; by default its own"


@attrs.frozen
class MicrophoneConfig:
    """Settings of the audio source `microphone`."""

    device: str | None = setting(None, help=_DEVICE_HELP)
    sample_rate: int | None = setting(None, help=_RATE_HELP, minimum=4_000, maximum=768_000)
    channels: int = setting(1, help="channels to record; they are averaged", minimum=1, maximum=64)
    chunk_size: int | None = setting(
        None, help="samples per channel in one block; by default 20 ms", minimum=16, maximum=65_536
    )
    latency_ms: float | None = setting(
        None, help="latency in ms that the device is asked for; by default one it calls safe", minimum=1, maximum=1000
    )
    half_duplex: bool = setting(
        False, help="hear silence while a speaker of this process sounds: for loudspeakers, not for headphones"
    )
    hangover_ms: float = setting(
        300.0,
        help="how much longer than the speaker half_duplex hears nothing, for the room's echo, in ms",
        minimum=0,
        maximum=5_000,
    )


@attrs.frozen
class SpeakerConfig:
    """Settings of the transport `speaker`."""

    device: str | None = setting(None, help=_DEVICE_HELP)
    sample_rate: int | None = setting(None, help=_RATE_HELP, minimum=4_000, maximum=768_000)
    channels: int | None = setting(
        None, help="channels to play on, all alike; by default 2 where there are so many", minimum=1, maximum=64
    )
    latency_ms: float = setting(
        150.0,
        help="what the device itself stores, in ms: less is sooner, and breaks up where the machine is busy",
        minimum=1,
        maximum=1000,
    )
    max_buffer_ms: float = setting(
        300.0,
        help="most audio in ms that waits for a frame that is late; what is beyond it is skipped",
        minimum=40,
        maximum=5_000,
    )
