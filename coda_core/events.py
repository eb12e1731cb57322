"""The recorded facts of a conversation.

Every event has a `type` name and a `version`, is numbered per conversation by the kernel and by nobody else, and
can be written to JSON and back. An event that a store holds but this installation does not know comes back as
`UnknownEvent`, with its fields untouched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

import attrs

if TYPE_CHECKING:
    from cattrs.preconf.json import JsonConverter

__all__ = [
    "Attached",
    "Closed",
    "Detached",
    "Event",
    "Failed",
    "Fault",
    "Gap",
    "Injection",
    "Interrupted",
    "Listening",
    "MemoryPressure",
    "Opened",
    "Parked",
    "Paused",
    "Quarantined",
    "Resumed",
    "Saved",
    "StoreFailing",
    "StoreRecovered",
    "UnknownEvent",
    "Unparked",
    "Withdrawn",
    "event_from_json",
    "event_to_json",
]

_types: dict[tuple[str, int], type[Event]] = {}


@attrs.frozen(kw_only=True)
class Event:
    """Base of all events. A subclass names its `type` and `version` and is then known to every store.

    Fields must have a form in JSON. A change of a class's fields, other than a new one with a default, asks for a
    new `version`. Two classes of one type and version are a TypeError.
    """

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
        if "type" not in cls.__dict__:
            return
        # attrs builds a slotted class by making it a second time: the later one is the real one.
        known = _types.setdefault((cls.type, cls.version), cls)
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise TypeError(
                f"event type {cls.type!r}, version {cls.version} is defined twice: by "
                f"{known.__module__}.{known.__qualname__} and {cls.__module__}.{cls.__qualname__}"
            )
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
    token_digest: str = ""
    """SHA-256, in hex, of the token that lets a peer come back to it."""
    realtime: bool | None = None
    """Whether frames were due in real time: only then does their lateness say anything. None where it is not known."""
    setup: Mapping[str, Any] = attrs.field(factory=dict)
    """Of a recorded conversation: the tables of a stack that it can be run again with, and the folder ``base_dir``
    that their relative names are taken from. Secrets are not in it."""


@attrs.frozen(kw_only=True)
class Closed(Event):
    """A conversation ended; the last event of its life."""

    type: ClassVar[str] = "closed"
    reason: str = "closed"
    """``closed`` by its owner, ``detached`` or ``expired`` where nobody came back, ``fault``, ``shutdown``, or
    ``interrupted`` where the process or the processor was lost."""
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
class Parked(Event):
    """It gave its slot back; its state is durable."""

    type: ClassVar[str] = "parked"
    reason: str = "asked"
    """``asked``, ``idle`` (its slot was wanted), ``detached`` (nobody came back in time), ``shutdown``, or
    ``interrupted``: its process was killed, and it can go on from what was saved last."""
    size_bytes: int = 0
    """Of the saved state."""


@attrs.frozen(kw_only=True)
class Saved(Event):
    """What it can go on from after a kill is durable; it keeps its slot. `frame` would be its next step then."""

    type: ClassVar[str] = "saved"
    reason: str = "interval"
    """``interval`` or ``detached``."""
    size_bytes: int = 0


@attrs.frozen(kw_only=True)
class Unparked(Event):
    """It has a slot again and goes on with `frame`."""

    type: ClassVar[str] = "unparked"


@attrs.frozen(kw_only=True)
class Detached(Event):
    """Its peer is gone: it waits for `grace_s` seconds in its slot."""

    type: ClassVar[str] = "detached"
    grace_s: float = 0.0


@attrs.frozen(kw_only=True)
class Attached(Event):
    """A peer came back with the resume token."""

    type: ClassVar[str] = "attached"


@attrs.frozen(kw_only=True)
class Injection(Event):
    """What became of a text that Moshi was asked to speak; one event for every state that it passes."""

    type: ClassVar[str] = "injection"
    command: int = 0
    """Number of the `coda_core.commands.Say` in its conversation."""
    status: str = "queued"
    """A `coda_core.commands.ReceiptStatus`."""
    text: str = ""
    deadline_frames: int | None = None
    """Where it is queued: `coda_core.commands.Say.deadline_frames`, as are the next two."""
    expires_frames: int | None = None
    yields: bool = False


@attrs.frozen(kw_only=True)
class Withdrawn(Event):
    """Who asked for a text to be spoken has taken that back, before step `frame`."""

    type: ClassVar[str] = "withdrawn"
    command: int = 0
    """Number of the `coda_core.commands.Say`."""


@attrs.frozen(kw_only=True)
class Interrupted(Event):
    """Moshi was told to fall silent. Whoever holds audio for a listener throws it away on seeing this."""

    type: ClassVar[str] = "interrupted"
    for_s: float | None = None
    """How long it stays silent at most; None until the caller has spoken."""


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
class MemoryPressure(Event):
    """The processor's memory is nearly used up, or no longer so. Of no conversation; not stored.

    Between the two no new conversation is taken.
    """

    type: ClassVar[str] = "memory_pressure"
    pressing: bool = True
    used_bytes: int = 0
    limit_bytes: int = 0
    message: str = ""


@attrs.frozen(kw_only=True)
class StoreFailing(Event):
    """Events cannot be stored now: they wait in memory and are tried again. Of no conversation; not stored."""

    type: ClassVar[str] = "store_failing"
    message: str = ""
    waiting: int = 0
    """Events that wait."""


@attrs.frozen(kw_only=True)
class StoreRecovered(Event):
    """The store takes events again. Of no conversation; not stored."""

    type: ClassVar[str] = "store_recovered"
    lost: int = 0
    """Events given up since the kernel started, because too many waited."""


@attrs.frozen(kw_only=True)
class Quarantined(Event):
    """Part of a plugin is left out from now on, because it kept failing its budget. Of no conversation; not stored.

    Audio goes on without it until Coda is started again.
    """

    type: ClassVar[str] = "quarantined"
    who: str = ""
    """Label of an extractor or of the state manager, or the plugin that a reader of events belongs to."""
    reason: str = ""
    """``slow``, ``failing`` or ``hung`` for a follower; ``unread`` or ``blocking`` for a reader of events."""
    message: str = ""


@attrs.frozen(kw_only=True)
class Listening(Event):
    """A transport takes callers now. Of no conversation; told to observers, not stored."""

    type: ClassVar[str] = "listening"
    url: str = ""
    """Where."""


@attrs.frozen(kw_only=True)
class UnknownEvent(Event):
    """An event written by a plugin or a version that is not installed here, or whose fields do not fit its type."""

    type: ClassVar[str] = "unknown"
    written_type: str = ""
    written_version: int = 0
    fields: Mapping[str, Any] = attrs.field(factory=dict)

    @classmethod
    def of(cls, written_type: str, written_version: int, fields: Mapping[str, Any]) -> Self:
        known = {name: fields[name] for name in ("conversation", "sequence", "frame", "time_s") if name in fields}
        return cls(written_type=written_type, written_version=written_version, fields=dict(fields), **known)


_readable = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_escaped = json.JSONEncoder(allow_nan=False)


@cache
def _converter() -> JsonConverter:
    from cattrs.preconf.json import make_converter

    return make_converter(forbid_extra_keys=True)


def event_to_json(event: Event) -> str:
    """Return `event` as one JSON object with ``type`` and ``version`` beside its fields.

    `event_from_json` gives back an equal event. Raises ValueError or TypeError for a field that has no form in
    JSON: a number that is not finite, an object of some class.
    """
    if isinstance(event, UnknownEvent):
        fields = {"type": event.written_type, "version": event.written_version, **event.fields}
    else:
        fields = {"type": event.type, "version": event.version, **_converter().unstructure(event)}
    text = _readable.encode(fields)
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair has no UTF-8 form: only escaped can it be stored and sent.
        return _escaped.encode(fields)
    return text


def event_from_json(text: str) -> Event:
    """Return the event that `event_to_json` wrote; `UnknownEvent` where it is not known here or does not fit.

    Raises ValueError for text that is no event at all.
    """
    from cattrs import ClassValidationError

    fields = json.loads(text)
    if not isinstance(fields, dict):
        raise ValueError("not an event: expected a JSON object")
    name, version = fields.pop("type", None), fields.pop("version", None)
    if not isinstance(name, str) or not isinstance(version, int):
        raise ValueError("not an event: expected a 'type' that is a string and a 'version' that is an integer")
    known = _types.get((name, version))
    if known is None:
        return UnknownEvent.of(name, version, fields)
    try:
        return _converter().structure(fields, known)
    except ClassValidationError:
        return UnknownEvent.of(name, version, fields)
