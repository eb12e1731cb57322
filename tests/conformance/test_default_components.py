"""Every default component keeps its contract."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import soundfile

import coda_audio.register
import coda_moshi.register
import coda_state.register
import coda_streaming.register
import coda_websocket.register
from coda_core.testing import plugin
from coda_core.testing.conformance import (
    AudioSourceConformance,
    MonologueExtractorConformance,
    ProcessorConformance,
    StateManagerConformance,
    StreamingManagerConformance,
    TransportConformance,
)


def named(components: Sequence[Any], name: str) -> Any:
    return next(component for component in components if component.name == name)


class TestFileSource(AudioSourceConformance):
    component = named(coda_audio.register.coda_register_audio_sources(), "file")

    def config(self, folder: Path) -> Any:
        path = folder / "spoken.wav"
        noise = np.random.default_rng(1).normal(0, 0.1, (12_000, 2))
        soundfile.write(path, noise, 16_000, subtype="PCM_16")
        return self.component.config(path=path)


class TestSilence(AudioSourceConformance):
    component = named(coda_audio.register.coda_register_audio_sources(), "silence")
    settings: ClassVar = {"duration_s": 1.0}


class TestScripted(ProcessorConformance):
    component = named(plugin.coda_register_processors(), "scripted")


class TestEcho(ProcessorConformance):
    component = named(coda_moshi.register.coda_register_processors(), "echo")
    settings: ClassVar = {"conversations": 3}


class TestMoshi(ProcessorConformance):
    component = named(coda_moshi.register.coda_register_processors(), "moshi")
    settings: ClassVar = {"model_path": "tiny", "conversations": 3}
    say_text = "the right word"


class TestInnerMonologue(MonologueExtractorConformance):
    component = named(coda_moshi.register.coda_register_monologue_extractors(), "inner-monologue")


class TestPhrases(MonologueExtractorConformance):
    component = named(coda_moshi.register.coda_register_monologue_extractors(), "inner-monologue")
    settings: ClassVar = {"mode": "buffered"}


class TestFileTransport(TransportConformance):
    component = named(coda_audio.register.coda_register_transports(), "file")

    def config(self, folder: Path) -> Any:
        return self.component.config(path=folder / "reply.wav", overwrite=True)


class TestWebsocket(TransportConformance):
    component = named(coda_websocket.register.coda_register_transports(), "websocket")
    settings: ClassVar = {"port": 0}


class TestRealtime(StreamingManagerConformance):
    component = named(coda_streaming.register.coda_register_streaming_managers(), "realtime")


class TestRealtimeThatDisconnects(StreamingManagerConformance):
    component = named(coda_streaming.register.coda_register_streaming_managers(), "realtime")
    settings: ClassVar = {"overflow": "disconnect"}


class TestOffline(StreamingManagerConformance):
    component = named(coda_streaming.register.coda_register_streaming_managers(), "offline")


class TestConversationManager(StateManagerConformance):
    component = named(coda_state.register.coda_register_state_managers(), "conversation")
