"""What `coda_audio` offers. Light: what reads and writes audio is imported when a component is built."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final

from coda_audio.config import (
    FileSourceConfig,
    FileTransportConfig,
    MicrophoneConfig,
    SilenceSourceConfig,
    SpeakerConfig,
)
from coda_core.hookspecs import hookimpl
from coda_core.interfaces import Component, Context, Requires

if TYPE_CHECKING:
    from coda_audio.file_source import FileSource
    from coda_audio.file_transport import FileTransport
    from coda_audio.microphone import Microphone
    from coda_audio.silence import SilenceSource
    from coda_audio.speaker import Speaker

CODA_CONTRACT: Final = 1

_DEVICES: Final = Requires(("sounddevice",), "coda-core[audio]")


@hookimpl
def coda_register_audio_sources() -> Sequence[Component[Any]]:
    return [
        Component("file", "Feeds an audio file: WAV, FLAC, OGG or MP3.", FileSourceConfig, _open_file_source),
        Component(
            "microphone", "Feeds what a microphone hears.", MicrophoneConfig, _open_microphone, requires=_DEVICES
        ),
        Component("silence", "Feeds silence.", SilenceSourceConfig, _open_silence),
    ]


@hookimpl
def coda_register_transports() -> Sequence[Component[Any]]:
    return [
        Component(
            "file",
            "Records the local conversation as WAV: Moshi's voice, or both sides in stereo.",
            FileTransportConfig,
            _open_file_transport,
        ),
        Component(
            "speaker",
            "Plays the local conversation on a loudspeaker or headphones.",
            SpeakerConfig,
            _open_speaker,
            requires=_DEVICES,
        ),
    ]


def _open_file_source(config: FileSourceConfig, context: Context) -> AbstractAsyncContextManager[FileSource]:
    from coda_audio.file_source import open_file_source

    return open_file_source(config, context)


def _open_microphone(config: MicrophoneConfig, context: Context) -> AbstractAsyncContextManager[Microphone]:
    from coda_audio.microphone import open_microphone

    return open_microphone(config, context)


def _open_silence(config: SilenceSourceConfig, context: Context) -> AbstractAsyncContextManager[SilenceSource]:
    from coda_audio.silence import open_silence

    return open_silence(config, context)


def _open_file_transport(config: FileTransportConfig, context: Context) -> AbstractAsyncContextManager[FileTransport]:
    from coda_audio.file_transport import open_file_transport

    return open_file_transport(config, context)


def _open_speaker(config: SpeakerConfig, context: Context) -> AbstractAsyncContextManager[Speaker]:
    from coda_audio.speaker import open_speaker

    return open_speaker(config, context)
