"""What the loaded plugins offer, by kind and name."""

from __future__ import annotations

import importlib.util
import logging
import shlex
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import attrs

from coda_core.errors import ComponentConflict, MissingExtra, UnknownComponent
from coda_core.interfaces import KINDS, Component, Kind, Requires
from coda_core.owner import OWNER
from coda_core.wording import did_you_mean, enumerated, listing, type_words

if TYPE_CHECKING:
    from coda_core.kernel import Kernel

__all__ = ["BrokenPlugin", "Conflict", "Plugin", "Registered", "Registry", "kind_words", "missing_modules", "require"]

_logger = logging.getLogger("coda.plugins")
_OBSERVER_S: Final = 0.5
"""What a hook that is told of a kernel may take."""


@attrs.frozen
class Plugin:
    """A plugin that was loaded."""

    name: str
    """The name of its entry point: what ``disabled_plugins`` says."""
    distribution: str
    version: str
    components: tuple[tuple[Kind, str], ...] = ()

    def __str__(self) -> str:
        return _who(self.name, self.distribution, self.version)


@attrs.frozen
class BrokenPlugin:
    """A plugin that was found and cannot be used."""

    name: str
    distribution: str
    version: str
    reason: str
    """One line for a person."""

    def __str__(self) -> str:
        return _who(self.name, self.distribution, self.version)


@attrs.frozen
class Registered:
    """A component and the plugin that brought it."""

    kind: Kind
    component: Component[Any]
    plugin: Plugin


@attrs.frozen
class Conflict:
    """A name that several plugins gave to components of one kind. None of them can be used by that name."""

    kind: Kind
    name: str
    plugins: tuple[Plugin, ...]


@attrs.frozen(eq=False)
class Registry:
    """The plugins found here and their components."""

    plugins: tuple[Plugin, ...] = ()
    broken: tuple[BrokenPlugin, ...] = ()
    disabled: tuple[str, ...] = ()
    """Names of plugins that are installed and were not loaded, because somebody asked for that."""
    registered: tuple[Registered, ...] = ()
    observers: tuple[tuple[Plugin, Callable[[Kernel], object]], ...] = ()
    """The ``coda_started`` hooks."""

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        conflicts = []
        for kind in KINDS:
            by_name: dict[str, list[Plugin]] = {}
            for one in self.components(kind):
                by_name.setdefault(one.component.name, []).append(one.plugin)
            conflicts += [Conflict(kind, name, tuple(who)) for name, who in by_name.items() if len(who) > 1]
        return tuple(conflicts)

    def components(self, kind: Kind) -> tuple[Registered, ...]:
        """Return the components of a kind, by name; those in conflict are among them."""
        of_kind = [one for one in self.registered if one.kind == kind]
        return tuple(sorted(of_kind, key=lambda one: (one.component.name, one.plugin.name)))

    def get(self, kind: Kind, name: str) -> Registered:
        """Return the component of that kind and name; raises `UnknownComponent` or `ComponentConflict`."""
        same = [one for one in self.components(kind) if one.component.name == name]
        if not same:
            raise UnknownComponent(self._unknown(kind, name))
        if len(same) > 1:
            raise ComponentConflict(
                f'several plugins offer {kind_words(kind, article=True)} called "{name}": '
                f"{' and '.join(str(one.plugin) for one in same)}. "
                f'Disable all but one of them, as in disabled_plugins = ["{same[-1].plugin.name}"] under [stack].'
            )
        return same[0]

    def for_config(self, kind: Kind, config: object) -> Registered:
        """Return the component of a kind whose config class `config` is an instance of.

        Raises `UnknownComponent` where there is none, `ComponentConflict` where several share the class.
        """
        same = [one for one in self.components(kind) if one.component.config is type(config)]
        if not same:
            raise UnknownComponent(self._unknown_config(kind, config))
        if len(same) > 1:
            raise ComponentConflict(
                f"several components have the config class {type(config).__name__}: "
                f"{' and '.join(f'{one.component.name} of {one.plugin}' for one in same)}. Disable all but one plugin."
            )
        return same[0]

    def started(self, kernel: Kernel) -> None:
        """Call every observer. One that fails is logged with its distribution and disturbs nobody."""
        for plugin, observe in self.observers:
            began_s = time.perf_counter()
            owned = OWNER.set(f"plugin {plugin}")
            try:
                observe(kernel)
            except Exception:
                _logger.exception("coda_started of plugin %s failed; Coda goes on without it", plugin)
            finally:
                OWNER.reset(owned)
            taken_s = time.perf_counter() - began_s
            if taken_s > _OBSERVER_S:
                _logger.warning("coda_started of plugin %s took %.1f s, in which nothing else ran", plugin, taken_s)

    def _unknown(self, kind: Kind, name: str) -> str:
        known = [one.component.name for one in self.components(kind)]
        others = [one for one in self.registered if one.component.name == name]
        parts = [f'there is no {kind_words(kind)} called "{name}".']
        parts += [f'"{name}" is {kind_words(one.kind, article=True)} (table [{one.kind}]).' for one in others]
        parts += [did_you_mean(name, known), f"Installed here: {listing(set(known))}.", self._not_loaded()]
        return " ".join(part for part in parts if part)

    def _unknown_config(self, kind: Kind, config: object) -> str:
        known = [f"{one.component.config.__name__} ({one.component.name})" for one in self.components(kind)]
        if isinstance(config, type):
            what = f"{config.__name__} is a class; expected an instance, as in {config.__name__}(...)."
        else:
            what = f"{type_words(config)} is not the config of {kind_words(kind, article=True)}."
        others = [one for one in self.registered if one.component.config is type(config)]
        parts = [what]
        parts += [f'It is that of the {kind_words(one.kind)} "{one.component.name}".' for one in others]
        parts += [f"Known here: {listing(known)}.", self._not_loaded()]
        return " ".join(part for part in parts if part)

    def _not_loaded(self) -> str:
        """Return which plugins might have held what was not found."""
        parts = [f"Plugin {plugin} could not be loaded: {plugin.reason}." for plugin in self.broken]
        if self.disabled:
            parts.append(f"Disabled plugins: {listing(self.disabled)}.")
        return " ".join(parts)


def kind_words(kind: Kind, *, article: bool = False) -> str:
    """Return a kind for the middle of a sentence, as in ``audio source`` or ``an audio source``."""
    words = kind.replace("_", " ")
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}" if article else words


def missing_modules(requires: Requires | None) -> tuple[str, ...]:
    """Return the modules of `requires` that are not installed. Nothing is imported."""
    return tuple(module for module in requires.modules if not _is_installed(module)) if requires else ()


def require(registered: Registered) -> None:
    """Raise `MissingExtra`, which says what to install, where packages that a component needs are not there."""
    component = registered.component
    missing = missing_modules(component.requires)
    if component.requires is None or not missing:
        return
    noun, verb = ("package", "is") if len(missing) == 1 else ("packages", "are")
    raise MissingExtra(
        f'the {kind_words(registered.kind)} "{component.name}" needs the {noun} {enumerated(missing)}, which {verb} '
        f"not installed. Run: pip install {shlex.quote(component.requires.install)}"
    )


def _is_installed(module: str) -> bool:
    # The parent of a dotted name would be imported to look inside it.
    top = module.partition(".")[0]
    try:
        return importlib.util.find_spec(top) is not None
    except ValueError:
        return True  # imported already, by means that left no spec


def _who(name: str, distribution: str, version: str) -> str:
    return f'"{name}" of {distribution}{f" {version}" if version else ""}'
