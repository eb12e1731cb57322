"""``coda check``: what a stack becomes, and what is wrong with it. Nothing is built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from coda_core.cli.options import json_option, set_option, stack_argument, verbose_option
from coda_core.cli.terminal import Terminal, printable
from coda_core.errors import ConfigError

if TYPE_CHECKING:
    from coda_core.config import Chosen, ResolvedStack

__all__ = ["command"]


@click.command("check")
@stack_argument
@set_option
@json_option
@verbose_option
@click.pass_obj
def command(terminal: Terminal, stack: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Show which components STACK chooses, from where, why and with which settings.

    Every problem of the file is reported, and the exit code is 2 where there is one. No component is built: a file
    or checkpoint that a setting names is first looked for when the stack runs.
    """
    from coda_core.config import read_stack, resolve

    try:
        resolved = resolve(*read_stack(stack, overrides=overrides))
    except ConfigError as error:
        if not as_json:
            raise
        terminal.json(_failed(error))
        raise click.exceptions.Exit(2) from None
    if as_json:
        terminal.json(_passed(resolved, stack))
        return
    terminal.line(f'stack "{printable(resolved.name)}" in {stack}')
    for chosen in resolved.all():
        _show(terminal, chosen)
    terminal.line()
    terminal.line("no problems", "green")
    if resolved.audio_source is None and not resolved.transports:
        terminal.line("It has no audio_source and no transport: open its conversations from Python.")


def _show(terminal: Terminal, chosen: Chosen) -> None:
    plugin = chosen.registered.plugin
    terminal.line()
    terminal.line(f"{chosen.registered.kind}: {chosen.label}", "bold")
    terminal.line(f"from {plugin.distribution} {plugin.version}, plugin {plugin.name}", indent=2)
    terminal.line(chosen.why, indent=2)
    for name, value in _settings(chosen).items():
        terminal.line(f"{name} = {_as_toml(value)}", indent=4)


def _passed(resolved: ResolvedStack, path: Path) -> dict[str, Any]:
    return {
        "ok": True,
        "stack": resolved.name,
        "source": str(path.absolute()),
        "components": [
            {
                "kind": chosen.registered.kind,
                "name": chosen.registered.component.name,
                "label": chosen.label,
                "distribution": chosen.registered.plugin.distribution,
                "version": chosen.registered.plugin.version,
                "plugin": chosen.registered.plugin.name,
                "why": chosen.why,
                "settings": _settings(chosen),
            }
            for chosen in resolved.all()
        ],
        "problems": [],
    }


def _failed(error: ConfigError) -> dict[str, Any]:
    problems = [{"key": each.key, "message": each.message, "remedy": each.remedy} for each in error.problems]
    return {"ok": False, "stack": None, "source": error.source, "components": [], "problems": problems}


def _settings(chosen: Chosen) -> dict[str, Any]:
    from coda_core.config.schema import settings_of

    return settings_of(chosen.config)


def _as_toml(value: object) -> str:
    """Return a setting as it would be written; TOML has no word for None."""
    return "(not set)" if value is None else json.dumps(value, ensure_ascii=False)
