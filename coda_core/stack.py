"""A stack: the components that make up one Coda, and which plugin each of them is from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from coda_core.errors import ConfigError, PluginError, Problem
from coda_core.interfaces import KINDS, Kind
from coda_core.registry import Registered, Registry, require
from coda_core.settings import setting
from coda_core.structure import Structurer
from coda_core.wording import type_words

__all__ = [
    "SEVERAL",
    "Chosen",
    "ResolvedStack",
    "Stack",
    "StackSettings",
    "component_problems",
    "default_name",
    "problems_of",
    "resolve",
]

SEVERAL: Final[frozenset[Kind]] = frozenset({"monologue_extractor", "transport"})
"""The kinds of which a stack may have several components."""

_DEFAULTS: Final[Mapping[Kind, str]] = {
    "processor": "moshi",
    "monologue_extractor": "inner-monologue",
    "streaming_manager": "realtime",
    "state_manager": "conversation",
    "state_store": "memory",
}
_OFFLINE: Final = "offline"


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
    monologue_extractors: tuple[Chosen, ...]
    streaming_manager: Chosen
    state_manager: Chosen
    state_store: Chosen
    transports: tuple[Chosen, ...]

    def all(self) -> tuple[Chosen, ...]:
        """Return the components in the order of their kinds."""
        source = () if self.audio_source is None else (self.audio_source,)
        managers = (self.streaming_manager, self.state_manager, self.state_store)
        return (*source, self.processor, *self.monologue_extractors, *managers, *self.transports)


def default_name(kind: Kind, settings: StackSettings) -> str | None:
    """Return the component that a stack has where it names none of a kind; None where there is no default."""
    if kind == "streaming_manager" and not settings.streaming_enabled:
        return _OFFLINE
    return _DEFAULTS.get(kind)


def resolve(stack: Stack, registry: Registry) -> ResolvedStack:
    """Choose the defaults and check every component; raises `ConfigError` with every problem there is."""
    resolver = _Resolver(stack, registry)
    chosen = {kind: resolver.choose(kind) for kind in KINDS}
    if resolver.problems:
        raise ConfigError(resolver.problems, stack.source)
    return ResolvedStack(
        name=stack.name,
        base_dir=stack.base_dir,
        audio_source=next(iter(chosen["audio_source"]), None),
        processor=chosen["processor"][0],
        monologue_extractors=chosen["monologue_extractor"],
        streaming_manager=chosen["streaming_manager"][0],
        state_manager=chosen["state_manager"][0],
        state_store=chosen["state_store"][0],
        transports=chosen["transport"],
    )


def problems_of(stack: Stack, registry: Registry, *, without: Collection[Kind]) -> list[Problem]:
    """Return what `resolve` would report, leaving out some kinds."""
    resolver = _Resolver(stack, registry)
    for kind in KINDS:
        if kind not in without:
            resolver.choose(kind)
    return resolver.problems


class _Resolver:
    def __init__(self, stack: Stack, registry: Registry) -> None:
        self._stack = stack
        self._registry = registry
        self._structurer = Structurer(base_dir=stack.base_dir)
        own = {field.name: getattr(stack, field.name) for field in attrs.fields(StackSettings)}
        self.problems = self._structurer.structure(own, StackSettings, "stack")[1]

    def choose(self, kind: Kind) -> tuple[Chosen, ...]:
        given = getattr(self._stack, kind)
        chosen = list(self._default(kind) if given is None else self._given(kind, given))
        for one in chosen:
            self.problems += _contradictions(kind, one.registered.component.name, self._stack, given is not None)
        return tuple(_labelled(chosen))

    def _given(self, kind: Kind, given: Any) -> Iterator[Chosen]:
        if kind not in SEVERAL:
            yield from self._one(kind, given, kind)
        elif not isinstance(given, tuple):
            self.problems.append(
                Problem(kind, f"found {type_words(given)}; expected a list of configs.", f"Write {kind}=[...].")
            )
        else:
            for index, config in enumerate(given):
                yield from self._one(kind, config, f"{kind}.{index}")

    def _one(self, kind: Kind, config: object, key: str) -> Iterator[Chosen]:
        try:
            registered = self._registry.for_config(kind, config)
        except PluginError as error:
            self.problems.append(Problem(key, str(error)))
            return
        yield from self._usable(registered, config, key, self._stack.reasons.get(key, "given to Stack"))

    def _default(self, kind: Kind) -> Iterator[Chosen]:
        name = default_name(kind, self._stack)
        if name is None or (kind == "monologue_extractor" and not self._stack.inner_monologue_enabled):
            return
        why = f"default: no [{kind}] table"
        if name == _OFFLINE:
            why = "default: streaming_enabled = false"
        try:
            registered = self._registry.get(kind, name)
        except PluginError as error:
            self.problems.append(Problem(kind, f"the stack names none, and its default is missing: {error}"))
            return
        yield from self._usable(registered, {}, kind, why)

    def _usable(self, registered: Registered, config: object, key: str, why: str) -> Iterator[Chosen]:
        self.problems += component_problems(registered, key, self._stack)
        read, problems = self._structurer.structure(config, registered.component.config, key)
        self.problems += problems
        if not problems:
            # A config whose paths were absolute stays the very object that was given.
            yield Chosen(registered, config if read == config else read, registered.component.name, why)


def component_problems(registered: Registered, key: str, settings: StackSettings) -> Iterator[Problem]:
    """Yield why a component cannot be used here, whatever its settings."""
    plugin = registered.plugin
    if plugin.name in settings.disabled_plugins:
        yield Problem(key, f'"{registered.component.name}" belongs to the plugin {plugin}, which this stack disables.')
    try:
        require(registered)
    except PluginError as error:
        yield Problem(key, str(error))


def _contradictions(kind: Kind, name: str, settings: StackSettings, given: bool) -> Iterator[Problem]:
    """Yield where [stack] says the opposite of a component that is given."""
    if given and kind == "streaming_manager" and not settings.streaming_enabled and name != _OFFLINE:
        yield Problem(
            "stack.streaming_enabled",
            f'is false, which asks for the streaming manager "{_OFFLINE}"; the stack names "{name}".',
            "Remove one of the two.",
        )
    if given and kind == "monologue_extractor" and not settings.inner_monologue_enabled and name == _DEFAULTS[kind]:
        yield Problem(
            "stack.inner_monologue_enabled",
            f'is false; the stack names the extractor "{name}".',
            "Remove one of the two.",
        )


def _labelled(chosen: list[Chosen]) -> Iterator[Chosen]:
    seen: dict[str, int] = {}
    for one in chosen:
        count = seen[one.label] = seen.get(one.label, 0) + 1
        yield one if count == 1 else attrs.evolve(one, label=f"{one.label}#{count}")
