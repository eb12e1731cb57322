"""What can go wrong, and how Coda says it.

::

    CodaError
    ├── ConfigError              a stack (TOML, --set or Python) that cannot be used; lists every problem
    ├── PluginError              a plugin or component that cannot be used
    │   ├── UnknownComponent     no component of that kind and name
    │   ├── ComponentConflict    two distributions offer the same name
    │   └── MissingExtra         the component's packages are not installed
    ├── AudioError               audio that cannot be read, written or understood
    ├── ModelError               a checkpoint that cannot be found, read or served
    │   ├── Incapable            the processor cannot do what was asked: say, interrupt, prompt or park
    │   ├── OutOfMemory          it does not fit
    │   └── ProcessorLost        the device is gone; nothing can be stepped any more
    ├── StoreError               state that could not be written or read
    └── ConversationError
        ├── Full                 no room for another conversation, with capacity and load
        ├── NotResumable         no conversation waits under that id and token
        ├── ConversationTaken    another server goes on with it
        ├── ConversationParked   it has no slot at the moment: resume it first
        ├── ConversationClosed   closed by you: the call came after `close`
        └── ConversationBroken   ended by the other side: a fault in the model or the machine

A `CodaError` is expected: its text is one message for a person, says what to do, and the command line prints
it without a traceback and exits with 2. Anything else is a defect and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

__all__ = [
    "AudioError",
    "CodaError",
    "ComponentConflict",
    "ConfigError",
    "ConversationBroken",
    "ConversationClosed",
    "ConversationError",
    "ConversationParked",
    "ConversationTaken",
    "Full",
    "Incapable",
    "MissingExtra",
    "ModelError",
    "NotResumable",
    "OutOfMemory",
    "PluginError",
    "Problem",
    "ProcessorLost",
    "StoreError",
    "UnknownComponent",
]


class CodaError(Exception):
    """Base of every expected failure. ``str(error)`` is the whole message."""


@attrs.frozen
class Problem:
    """One thing that is wrong in a stack."""

    key: str
    """Dotted key, as in ``processor.device``; empty for the whole file."""
    message: str
    """What was found and what was expected."""
    remedy: str = ""
    """What to do about it."""

    def __str__(self) -> str:
        place = f"{self.key}: " if self.key else ""
        remedy = f" {self.remedy}" if self.remedy else ""
        return f"{place}{self.message}{remedy}"


class ConfigError(CodaError):
    """A stack that cannot be used. Reports all of its problems at once."""

    def __init__(self, problems: Sequence[Problem], source: str = "stack") -> None:
        self.problems = tuple(problems)
        self.source = source
        count = len(self.problems)
        if count == 1:
            message = f"{source}: {self.problems[0]}"
        else:
            lines = "\n".join(f"  - {problem}" for problem in self.problems)
            message = f"{source}: {count} problems\n{lines}"
        super().__init__(message)


class PluginError(CodaError):
    """A plugin or component that cannot be used."""


class UnknownComponent(PluginError):
    """No component of that kind and name is installed."""


class ComponentConflict(PluginError):
    """Two distributions offer a component of the same kind and name."""


class MissingExtra(PluginError):
    """The packages that a component needs are not installed."""


class AudioError(CodaError):
    """Audio that cannot be read, written or understood."""


class ModelError(CodaError):
    """A checkpoint that cannot be found, read or served."""


class Incapable(ModelError):
    """The processor cannot do what was asked of a conversation."""


class OutOfMemory(ModelError):
    """The model or a step of it does not fit into memory."""


class ProcessorLost(ModelError):
    """The processor can do no further step for anybody, for example after its CUDA context is lost."""


class StoreError(CodaError):
    """State that could not be written or read."""


class ConversationError(CodaError):
    """A conversation that cannot do what was asked."""


class Full(ConversationError):
    """There is no room for another conversation."""

    def __init__(self, reason: str, *, capacity: int, load: float) -> None:
        self.reason = reason
        self.capacity = capacity
        """How many conversations can be live at once."""
        self.load = load
        """Recent p95 of the step time as a share of the time there is; 1.0 is all of it."""
        super().__init__(f"no room for another conversation: {reason} (capacity {capacity}, load {load:.0%})")


class NotResumable(ConversationError):
    """No conversation can be resumed with what was given. Does not tell whether there is one of that id."""

    def __init__(self) -> None:
        super().__init__(
            "no conversation can be resumed with this id and token: one of them is wrong, or the conversation is over"
        )


class ConversationTaken(ConversationError):
    """Another server goes on with a conversation: nothing of it can be stored by this one any more."""

    def __init__(self, conversation: str) -> None:
        super().__init__(
            f"another server goes on with conversation {conversation}; this one was cut off from the store for too long"
        )
        self.conversation = conversation


class ConversationParked(ConversationError):
    """The conversation has no slot at the moment, and what was asked needs one."""


class ConversationClosed(ConversationError):
    """The conversation was closed by its owner before this call."""


class ConversationBroken(ConversationError):
    """The conversation was ended by a fault that its owner did not cause."""
