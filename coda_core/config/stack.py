"""A stack: the components that make up one Coda, as they are asked for and as they are chosen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from coda_core.interfaces import Kind
from coda_core.plugins.registry import Registered
from coda_core.settings import setting

__all__ = [
    "DEFAULTS",
    "FALLBACK",
    "OFFLINE",
    "SEVERAL",
    "Chosen",
    "ResolvedStack",
    "Stack",
    "StackSettings",
    "default_name",
]

SEVERAL: Final[frozenset[Kind]] = frozenset({"monologue_extractor", "transport"})
"""The kinds of which a stack may have several components."""

FALLBACK: Final = "processor.fallback"
"""Key of the processor that takes the place of the stack's own where that fails to load."""

DEFAULTS: Final[Mapping[Kind, str]] = {
    "processor": "moshi",
    "monologue_extractor": "inner-monologue",
    "streaming_manager": "realtime",
    "state_manager": "conversation",
    "state_store": "memory",
}
"""What a stack has of each kind where it names none; `default_name` knows more."""

OFFLINE: Final = "offline"
"""The streaming manager where nothing is due in real time."""


@attrs.frozen(kw_only=True)
class StackSettings:
    """The table [stack]."""

    name: str = setting("coda", help="Name of the stack, in logs and in every conversation's first event.")
    inner_monologue_enabled: bool = setting(
        True, help="Whether a stack that names no extractor reads Moshi's inner monologue."
    )
    streaming_enabled: bool = setting(
        True, help="Whether frames are due in real time; if not, they go as fast as the model does."
    )
    disabled_plugins: tuple[str, ...] = setting((), help="Names of installed plugins that are not loaded.")
    keep_parked_hours: float = setting(
        24.0, minimum=0, maximum=100_000, help="Hours that a parked conversation may stay away before it is closed."
    )
    park_at_shutdown: bool = setting(
        False, help="Whether conversations that are paused when Coda ends are parked, to be resumed later, or closed."
    )
    observer_budget_ms: float = setting(
        250.0,
        minimum=10,
        maximum=60_000,
        help="Time, in ms, that a piece of code may keep the event loop to itself before that is counted and said.",
    )
    observer_strikes: int = setting(
        20,
        minimum=2,
        maximum=10_000,
        help="How often within a minute a reader of events may do so before it is disconnected.",
    )
    save_model_state_every_s: float | None = setting(
        None,
        minimum=0.08,
        maximum=1_000_000,
        help="Seconds between two savings of each live conversation's model state, so that it can be resumed after a "
        "kill; none saves it only when the conversation is detached, parked or shut down. Each costs what a parked "
        "conversation takes (1.6 GB for the released models), and a pause of the model while it is copied.",
    )


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _absolute(folder: str | Path) -> Path:
    return Path(folder).absolute()


@attrs.frozen(kw_only=True)
class Stack(StackSettings):
    """Which components to use: a config object for each, None for the default.

    The objects are instances of the components' config classes, as in ``Stack(processor=MoshiConfig(...))``.
    """

    audio_source: object | None = None
    processor: object | None = None
    fallback: object | None = None
    """Config of the processor that takes the place of `processor` where that fails to load; None for no other."""
    monologue_extractor: tuple[object, ...] | None = attrs.field(default=None, converter=_listed)
    streaming_manager: object | None = None
    state_manager: object | None = None
    state_store: object | None = None
    transport: tuple[object, ...] = attrs.field(default=(), converter=_listed)
    base_dir: Path = attrs.field(factory=Path.cwd, converter=_absolute)
    """Folder that relative paths are taken from; the working folder when the stack was made, if left out."""
    source: str = attrs.field(default="stack", eq=False)
    """Where the stack was written, for messages."""
    reasons: Mapping[str, str] = attrs.field(factory=dict, eq=False, repr=False)
    """Why a component was chosen, by key, where it was not simply given."""


@attrs.frozen
class Chosen:
    """One component of a stack."""

    registered: Registered
    config: Any
    """An instance of the component's config class, with absolute paths."""
    label: str
    """Its name, with ``#2`` behind it for the second of its kind and name."""
    why: str


@attrs.frozen(kw_only=True)
class ResolvedStack:
    """Every component of a stack, defaults included. All can be built as far as can be told without building them."""

    name: str
    base_dir: Path
    audio_source: Chosen | None
    processor: Chosen
    fallback: Chosen | None
    """Takes the place of `processor` where that fails to load."""
    monologue_extractors: tuple[Chosen, ...]
    streaming_manager: Chosen
    state_manager: Chosen
    state_store: Chosen
    transports: tuple[Chosen, ...]

    def all(self) -> tuple[Chosen, ...]:
        """Return the components in the order of their kinds, the fallback right behind its processor."""
        source = () if self.audio_source is None else (self.audio_source,)
        processors = (self.processor,) if self.fallback is None else (self.processor, self.fallback)
        managers = (self.streaming_manager, self.state_manager, self.state_store)
        return (*source, *processors, *self.monologue_extractors, *managers, *self.transports)


def default_name(kind: Kind, settings: StackSettings) -> str | None:
    """Return the component that a stack has where it names none of a kind; None where there is no default."""
    if kind == "streaming_manager" and not settings.streaming_enabled:
        return OFFLINE
    return DEFAULTS.get(kind)
