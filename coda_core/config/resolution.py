"""Which components a stack gets, from which plugins, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from coda_core.config.stack import (
    DEFAULTS,
    FALLBACK,
    OFFLINE,
    SEVERAL,
    Chosen,
    ResolvedStack,
    Stack,
    StackSettings,
    default_name,
)
from coda_core.config.structure import Structurer
from coda_core.errors import ConfigError, MissingExtra, PluginError, Problem
from coda_core.interfaces import KINDS, Kind
from coda_core.plugins.registry import Registered, Registry, require
from coda_core.wording import type_words

__all__ = ["component_problems", "problems_of", "resolve"]


def resolve(stack: Stack, registry: Registry) -> ResolvedStack:
    """Choose the defaults and check every component; raises `ConfigError` with every problem there is."""
    resolver = _Resolver(stack, registry)
    chosen = {kind: resolver.choose(kind) for kind in KINDS}
    problems = [*resolver.problems, *_shared_files(chosen)]
    if problems:
        raise ConfigError(problems, stack.source)
    return ResolvedStack(
        name=stack.name,
        base_dir=stack.base_dir,
        audio_source=next(iter(chosen["audio_source"]), None),
        processor=chosen["processor"][0],
        fallback=next(iter(chosen["processor"][1:]), None),
        monologue_extractors=chosen["monologue_extractor"],
        streaming_manager=chosen["streaming_manager"][0],
        state_manager=chosen["state_manager"][0],
        state_store=chosen["state_store"][0],
        transports=chosen["transport"],
    )


def _shared_files(chosen: Mapping[Kind, Sequence[Chosen]]) -> Iterator[Problem]:
    """Yield a problem for each file that one component writes and another uses too."""
    users: dict[Path, list[tuple[Kind, str]]] = {}
    for kind, components in chosen.items():
        for number, one in enumerate(components):
            table = f"{kind}.{number}" if kind in SEVERAL else kind
            for field in attrs.fields(type(one.config)):
                value = getattr(one.config, field.name)
                if isinstance(value, Path):
                    users.setdefault(value.resolve(), []).append((kind, f"{table}.{field.name}"))
    for path, keys in users.items():
        if len(keys) > 1 and any(kind in ("transport", "state_store") for kind, _ in keys):
            first, *others = [key for _, key in keys]
            message = f"{path} is used by {first} too, and one would destroy what the other has there."
            yield from (Problem(key, message, "Give each a file of its own.") for key in others)


def problems_of(stack: Stack, registry: Registry, *, without: Collection[Kind]) -> list[Problem]:
    """Return what `resolve` would report, leaving out some kinds; a fallback goes with its processor."""
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
        if kind == "processor" and self._stack.fallback is not None:
            chosen += self._fallback(self._stack.fallback, chosen)
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

    def _fallback(self, config: object, processor: list[Chosen]) -> Iterator[Chosen]:
        """Yield the processor that takes the place of `processor`, which is empty where that has problems."""
        for one in self._one("processor", config, FALLBACK):
            self.problems += _worker_conflict(one, processor)
            yield attrs.evolve(one, why=f"fallback where the processor fails to load; {one.why}")

    def _default(self, kind: Kind) -> Iterator[Chosen]:
        name = default_name(kind, self._stack)
        if name is None or (kind == "monologue_extractor" and not self._stack.inner_monologue_enabled):
            return
        why = f"default: no [{kind}] table"
        if name == OFFLINE:
            why = "default: streaming_enabled = false"
        try:
            registered = self._registry.get(kind, name)
        except PluginError as error:
            self.problems.append(Problem(kind, f"the stack names none, and its default is missing: {error}"))
            return
        yield from self._usable(registered, {}, kind, why)

    def _usable(self, registered: Registered, config: object, key: str, why: str) -> Iterator[Chosen]:
        replaceable = key == "processor" and self._stack.fallback is not None
        self.problems += component_problems(registered, key, self._stack, replaceable=replaceable)
        if replaceable and (missing := _missing(registered)) is not None:
            why = f"{why}; cannot be used here, so its fallback takes its place: {missing}"
        read, problems = self._structurer.structure(config, registered.component.config, key)
        self.problems += problems
        if not problems:
            # A config whose paths were absolute stays the very object that was given.
            yield Chosen(registered, config if read == config else read, registered.component.name, why)


def component_problems(
    registered: Registered, key: str, settings: StackSettings, *, replaceable: bool = False
) -> Iterator[Problem]:
    """Yield why a component cannot be used here, whatever its settings.

    Packages that are missing are no problem where it is `replaceable`: where a fallback is named beside it.
    """
    plugin = registered.plugin
    if plugin.name in settings.disabled_plugins:
        yield Problem(key, f'"{registered.component.name}" belongs to the plugin {plugin}, which this stack disables.')
    missing = _missing(registered)
    if missing is not None and not replaceable:
        yield Problem(key, missing)


def _missing(registered: Registered) -> str | None:
    """Return which packages a component lacks here and what to do about it, or None."""
    try:
        require(registered)
    except MissingExtra as error:
        return str(error)
    return None


def _worker_conflict(fallback: Chosen, processor: list[Chosen]) -> Iterator[Problem]:
    """Yield where the two processors ask for different shared threads: there is one worker for both."""
    for one in processor:
        theirs, own = one.registered.component.worker, fallback.registered.component.worker
        if theirs is not None and own is not None and theirs != own:
            yield Problem(
                FALLBACK,
                f'the processor "{fallback.label}" runs on the worker "{own}" and "{one.label}" on "{theirs}", '
                "and a stack has one worker.",
                "Name another fallback.",
            )


def _contradictions(kind: Kind, name: str, settings: StackSettings, given: bool) -> Iterator[Problem]:
    """Yield where [stack] says the opposite of a component that is given."""
    if given and kind == "streaming_manager" and not settings.streaming_enabled and name != OFFLINE:
        yield Problem(
            "stack.streaming_enabled",
            f'is false, which asks for the streaming manager "{OFFLINE}"; the stack names "{name}".',
            "Remove one of the two.",
        )
    if given and kind == "monologue_extractor" and not settings.inner_monologue_enabled and name == DEFAULTS[kind]:
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
