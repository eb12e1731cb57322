"""The seven Protocols: what a plugin author reads. Each kind has a file of its own; all names are imported from here.

Who calls whom on which thread: **L** is the event loop, **W** the one worker thread that steps the model, **F** a
follower's own thread, *any* is safe from anywhere. Only numpy arrays and plain values cross a Protocol. A plugin
inherits nothing: an object with the right methods is enough.
"""

from coda_core.interfaces.audio_source import AudioSource
from coda_core.interfaces.component import CONTRACT_VERSION, KINDS, Component, Context, Kind, Progress, Requires
from coda_core.interfaces.follower import Follower
from coda_core.interfaces.measures import Distribution, FollowerMeasures, LaneMeasures, Measured, Measures
from coda_core.interfaces.monologue_extractor import MonologueExtractor
from coda_core.interfaces.parked import ParkedState
from coda_core.interfaces.processor import (
    Capability,
    Commanded,
    Parkable,
    Processor,
    ProcessorInfo,
    Resizable,
    SlotOptions,
    SlotSettings,
    StepInput,
    StepOutput,
    Watched,
)
from coda_core.interfaces.state_manager import Recording, StateManager, Unfinished
from coda_core.interfaces.state_store import ConversationRow, SharedStore, StateStore
from coda_core.interfaces.streaming_manager import Admission, Lane, StreamingManager, Wiring
from coda_core.interfaces.transport import Transport
from coda_core.steps import StepRecord, StepRecords

__all__ = [
    "CONTRACT_VERSION",
    "KINDS",
    "Admission",
    "AudioSource",
    "Capability",
    "Commanded",
    "Component",
    "Context",
    "ConversationRow",
    "Distribution",
    "Follower",
    "FollowerMeasures",
    "Kind",
    "Lane",
    "LaneMeasures",
    "Measured",
    "Measures",
    "MonologueExtractor",
    "Parkable",
    "ParkedState",
    "Processor",
    "ProcessorInfo",
    "Progress",
    "Recording",
    "Requires",
    "Resizable",
    "SharedStore",
    "SlotOptions",
    "SlotSettings",
    "StateManager",
    "StateStore",
    "StepInput",
    "StepOutput",
    "StepRecord",
    "StepRecords",
    "StreamingManager",
    "Transport",
    "Unfinished",
    "Watched",
    "Wiring",
]
