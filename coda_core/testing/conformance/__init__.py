"""What a component must do to keep its Protocol, as tests that a plugin's own inherit.

    from coda_core.testing.conformance import AudioSourceConformance
    from coda_tone import coda_register_audio_sources

    class TestTone(AudioSourceConformance):
        component = coda_register_audio_sources()[0]

Needs pytest, and nothing else beside Coda. `Conformance` says what a subclass may set.
"""

import pytest

# Before the suites are imported, so that a failing check shows what it compared.
pytest.register_assert_rewrite("coda_core.testing.conformance")

from coda_core.testing.conformance.audio_source import AudioSourceConformance
from coda_core.testing.conformance.component import Conformance
from coda_core.testing.conformance.extractor import MonologueExtractorConformance
from coda_core.testing.conformance.processor import ProcessorConformance
from coda_core.testing.conformance.state_manager import StateManagerConformance
from coda_core.testing.conformance.state_store import StateStoreConformance
from coda_core.testing.conformance.streaming_manager import StreamingManagerConformance
from coda_core.testing.conformance.transport import TransportConformance

__all__ = [
    "AudioSourceConformance",
    "Conformance",
    "MonologueExtractorConformance",
    "ProcessorConformance",
    "StateManagerConformance",
    "StateStoreConformance",
    "StreamingManagerConformance",
    "TransportConformance",
]
