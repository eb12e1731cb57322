"""``coda plugins``: what is installed. Imports no plugin's libraries unless asked to with ``--check``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

import attrs
import click

from coda_core.cli.options import json_option, verbose_option
from coda_core.cli.terminal import Terminal

if TYPE_CHECKING:
    from coda_core.interfaces import Requires
    from coda_core.plugins import Registered, Registry

__all__ = ["command"]

_READY: Final = "ready"


@attrs.frozen
class _State:
    """Whether a component can be used here."""

    words: str
    broken: bool = False
    """True where it is installed and cannot be used: somebody has to repair something."""


@click.command("plugins")
@click.option("--check", is_flag=True, help="Also import the libraries that each component needs; exit 2 if one fails.")
@json_option
@verbose_option
@click.pass_obj
def command(terminal: Terminal, check: bool, as_json: bool) -> None:
    """List the plugins and components that are installed here, and whether they can be used."""
    from coda_core.interfaces import KINDS
    from coda_core.plugins import load_plugins

    registry = load_plugins()
    states = [(one, _state(registry, one, check)) for kind in KINDS for one in registry.components(kind)]
    failed = check and bool(registry.broken or any(state.broken for _, state in states))
    if as_json:
        terminal.json(_as_json(registry, states))
    else:
        _show(terminal, registry, states)
    if failed:
        raise click.exceptions.Exit(2)


def _state(registry: Registry, one: Registered, check: bool) -> _State:
    from coda_core.plugins import missing_modules

    for conflict in registry.conflicts:
        if (conflict.kind, conflict.name) == (one.kind, one.component.name):
            who = " and ".join(str(plugin) for plugin in conflict.plugins)
            return _State(f"in conflict: {who} offer it under one name; disable all but one", broken=True)
    requires = one.component.requires
    missing = missing_modules(requires)
    if requires is not None and missing:
        return _State(f"needs {', '.join(missing)}: pip install '{requires.install}'")
    return _imported(requires) if check and requires is not None else _State(_READY)


def _imported(requires: Requires) -> _State:
    from coda_core.cli.versions import version_of

    for module in requires.modules:
        try:
            importlib.import_module(module)
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            return _State(f"{module} cannot be imported ({reason}): pip install '{requires.install}'", broken=True)
    versions = ", ".join(f"{module} {version_of(module)}".rstrip() for module in requires.modules)
    return _State(f"{_READY}: {versions}")


def _show(terminal: Terminal, registry: Registry, states: list[tuple[Registered, _State]]) -> None:
    rows = [
        (one.kind, one.component.name, _origin(one.plugin), state.words, one.component.summary) for one, state in states
    ]
    terminal.table(("kind", "name", "from", "state", "what it does"), rows)
    for plugin in registry.broken:
        terminal.line(f"broken: {plugin}: {plugin.reason}", "red")
    for name in registry.disabled:
        terminal.line(f"disabled: {name}")


def _origin(plugin: Any) -> str:
    return f"{plugin.distribution} {plugin.version}".rstrip()


def _as_json(registry: Registry, states: list[tuple[Registered, _State]]) -> dict[str, Any]:
    def described(plugin: Any) -> dict[str, Any]:
        return {"name": plugin.name, "distribution": plugin.distribution, "version": plugin.version}

    return {
        "plugins": [described(plugin) for plugin in registry.plugins],
        "components": [
            {
                "kind": one.kind,
                "name": one.component.name,
                "summary": one.component.summary,
                "plugin": one.plugin.name,
                "distribution": one.plugin.distribution,
                "version": one.plugin.version,
                "ready": state.words.startswith(_READY),
                "state": state.words,
            }
            for one, state in states
        ],
        "broken": [{**described(plugin), "reason": plugin.reason} for plugin in registry.broken],
        "disabled": list(registry.disabled),
        "conflicts": [
            {"kind": each.kind, "name": each.name, "plugins": [described(plugin) for plugin in each.plugins]}
            for each in registry.conflicts
        ],
    }
