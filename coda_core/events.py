"""The recorded facts of a conversation.

Every event has a `type` name and a `version`, is numbered per conversation by the kernel and by nobody else, and
can be written to JSON and back. An event that a store holds but this installation does not know comes back as
`UnknownEvent`, with its fields untouched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import attrs
import cattrs

__all__ = [
    "Closed",
    "Event",
    "Failed",
    "Fault",
    "Gap",
    "Opened",
    "Paused",
    "Resumed",
    "UnknownEvent",
    "event_from_json",
    "event_to_json",
]

_types: dict[tuple[str, int], type[Event]] = {}


@attrs.frozen(kw_only=True)
class Event:
    """Base of all events. A subclass names its `type` and `version` and is then known to every store."""

    type: ClassVar[str] = "event"
    version: ClassVar[int] = 1

    conversation: str = ""
    sequence: int = 0
    """Number of the event in its conversation, from 1; given by the kernel."""
    frame: int | None = None
    """The step at which the fact took effect; None where it has none."""
    time_s: float = 0.0
    """Wall-clock time, in seconds since 1970-01-01 UTC; given by the kernel."""

    def __init_subclass__(cls) -> None:
        # attrs builds a slotted class by making it a second time: the later one is the real one.
        if "type" in cls.__dict__:
            _types[cls.type, cls.version] = cls


@attrs.frozen(kw_only=True)
class Opened(Event):
    """A conversation began. Durable before its opener gets it."""

    type: ClassVar[str] = "opened"
    user_id: str | None = None
    stack: str = ""
    processor: str = ""
    fingerprint: str = ""
    """Which checkpoint it talks to, as the processor says."""
    slots: int = 0
    """Batch size of the processor: tokens are reproducible at the same batch size."""
    options: Mapping[str, int | float | bool | str | None] = attrs.field(factory=dict)
    """The settings of its slot: seed, temperatures, top-k."""
    metadata: Mapping[str, str] = attrs.field(factory=dict)
    """What the opener wanted remembered."""


@attrs.frozen(kw_only=True)
class Closed(Event):
    """A conversation ended; the last event of its life."""

    type: ClassVar[str] = "closed"
    reason: str = "closed"
    """``closed`` by its owner, ``fault``, ``shutdown`` or ``interrupted``."""
    frames: int = 0
    """Steps it lived."""


@attrs.frozen(kw_only=True)
class Paused(Event):
    """Its steps stopped; the slot is kept."""

    type: ClassVar[str] = "paused"


@attrs.frozen(kw_only=True)
class Resumed(Event):
    """Its steps go on."""

    type: ClassVar[str] = "resumed"


@attrs.frozen(kw_only=True)
class Gap(Event):
    """Audio was lost on the way in; what follows is adjacent to `frame`."""

    type: ClassVar[str] = "gap"
    frames: int = 0
    """Frames lost."""
    reason: str = "overflow"


@attrs.frozen(kw_only=True)
class Fault(Event):
    """Something went wrong in this conversation and it goes on, from a fresh state where `restarted`."""

    type: ClassVar[str] = "fault"
    message: str = ""
    restarted: bool = False


@attrs.frozen(kw_only=True)
class Failed(Event):
    """Something went wrong and the conversation ends; `Closed` follows."""

    type: ClassVar[str] = "failed"
    message: str = ""


@attrs.frozen(kw_only=True)
class UnknownEvent(Event):
    """An event written by a plugin or a version that is not installed here."""

    type: ClassVar[str] = "unknown"
    written_type: str = ""
    written_version: int = 0
    fields: Mapping[str, Any] = attrs.field(factory=dict)

    @classmethod
    def of(cls, written_type: str, written_version: int, fields: Mapping[str, Any]) -> Self:
        known = {name: fields[name] for name in ("conversation", "sequence", "frame", "time_s") if name in fields}
        return cls(written_type=written_type, written_version=written_version, fields=dict(fields), **known)


_converter = cattrs.Converter(forbid_extra_keys=False)


def event_to_json(event: Event) -> str:
    """Return `event` as one JSON object with ``type`` and ``version`` beside its fields."""
    if isinstance(event, UnknownEvent):
        return json.dumps(
            {"type": event.written_type, "version": event.written_version, **event.fields}, ensure_ascii=False
        )
    fields = _converter.unstructure(event)
    return json.dumps({"type": event.type, "version": event.version, **fields}, ensure_ascii=False)


def event_from_json(text: str) -> Event:
    """Return the event that `event_to_json` wrote; `UnknownEvent` where its type or version is not known here."""
    fields = json.loads(text)
    name, version = fields.pop("type"), fields.pop("version")
    known = _types.get((name, version))
    if known is None:
        return UnknownEvent.of(name, version, fields)
    return _converter.structure(fields, known)
