"""The kernel of Coda: plugins, stacks and full-duplex conversations with Moshi.

A public name is imported from its module when it is first asked for, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coda_core.audio import FRAME_S, FRAME_SAMPLES, SAMPLE_RATE_HZ, AudioFormat, AudioFrame, Block
    from coda_core.clock import Clock
    from coda_core.config import ResolvedStack, Stack, read_stack
    from coda_core.conversation import Conversation
    from coda_core.errors import (
        AudioError,
        CodaError,
        ComponentConflict,
        ConfigError,
        ConversationBroken,
        ConversationClosed,
        ConversationError,
        ConversationParked,
        ConversationTaken,
        Full,
        Incapable,
        MissingExtra,
        ModelError,
        NotResumable,
        OutOfMemory,
        PluginError,
        ProcessorLost,
        StoreError,
        UnknownComponent,
    )
    from coda_core.events import (
        Attached,
        Closed,
        Detached,
        Event,
        Failed,
        Fault,
        Gap,
        Injection,
        Interrupted,
        Listening,
        MemoryPressure,
        Opened,
        Parked,
        Paused,
        Quarantined,
        Resumed,
        UnknownEvent,
        Unparked,
    )
    from coda_core.hookspecs import hookimpl
    from coda_core.injecting import Receipt
    from coda_core.interfaces import (
        CONTRACT_VERSION,
        Component,
        Context,
        Measured,
        Measures,
        Requires,
        SlotOptions,
    )
    from coda_core.kernel import Kernel
    from coda_core.memory import Elastic, MemoryPart, MemoryPlan, MemoryUse
    from coda_core.plugins import Registry, load_plugins
    from coda_core.settings import setting
    from coda_core.subscription import Subscription, SubscriptionOverflow
    from coda_core.text import ExtractedText, Vocabulary

__all__ = [
    "CONTRACT_VERSION",
    "FRAME_S",
    "FRAME_SAMPLES",
    "SAMPLE_RATE_HZ",
    "Attached",
    "AudioError",
    "AudioFormat",
    "AudioFrame",
    "Block",
    "Clock",
    "Closed",
    "CodaError",
    "Component",
    "ComponentConflict",
    "ConfigError",
    "Context",
    "Conversation",
    "ConversationBroken",
    "ConversationClosed",
    "ConversationError",
    "ConversationParked",
    "ConversationTaken",
    "Detached",
    "Elastic",
    "Event",
    "ExtractedText",
    "Failed",
    "Fault",
    "Full",
    "Gap",
    "Incapable",
    "Injection",
    "Interrupted",
    "Kernel",
    "Listening",
    "Measured",
    "Measures",
    "MemoryPart",
    "MemoryPlan",
    "MemoryPressure",
    "MemoryUse",
    "MissingExtra",
    "ModelError",
    "NotResumable",
    "Opened",
    "OutOfMemory",
    "Parked",
    "Paused",
    "PluginError",
    "ProcessorLost",
    "Quarantined",
    "Receipt",
    "Registry",
    "Requires",
    "ResolvedStack",
    "Resumed",
    "SlotOptions",
    "Stack",
    "StoreError",
    "Subscription",
    "SubscriptionOverflow",
    "UnknownComponent",
    "UnknownEvent",
    "Unparked",
    "Vocabulary",
    "__version__",
    "hookimpl",
    "load_plugins",
    "read_stack",
    "setting",
]

__version__ = "0.1.0"

# The lightest first: a name is looked for in this order, and what comes after its module is not loaded.
_MODULES = (
    "errors",
    "settings",
    "audio",
    "clock",
    "events",
    "memory",
    "text",
    "interfaces",
    "hookspecs",
    "plugins",
    "config",
    "injecting",
    "subscription",
    "conversation",
    "kernel",
)

if not TYPE_CHECKING:  # a type checker would take every misspelt name to be found here

    def __getattr__(name):
        if name in __all__:
            for module in (import_module(f"coda_core.{each}") for each in _MODULES):
                if name in module.__all__:
                    globals()[name] = getattr(module, name)
                    return globals()[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
