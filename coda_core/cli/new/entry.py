"""``coda new plugin``: a package that brings one component, complete with its tests."""

from __future__ import annotations

from pathlib import Path

import click

from coda_core.cli.new.naming import Names
from coda_core.cli.options import verbose_option
from coda_core.cli.terminal import Terminal
from coda_core.interfaces import KINDS, Kind

__all__ = ["command"]


@click.group("new")
@verbose_option
def command() -> None:
    """Write something of your own to start from."""


@command.command("plugin")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What the plugin's component is.")
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    default=".",
    show_default=True,
    help="The folder in which the package's own folder is made.",
)
@verbose_option
@click.argument("name")
@click.pass_obj
def plugin(terminal: Terminal, kind: Kind, into: Path, name: str) -> None:
    """Write a package with a small, working component called NAME, its tests and a stack that uses it.

    The component, its settings and its tests are there to be changed: what you get is complete, and its tests pass.
    """
    from coda_core.cli.new.package import write_package

    names = Names.of(name)
    names.require_free(kind)
    folder = write_package(into, names, kind)
    terminal.line(f"wrote {folder}; next:")
    for line in (f"cd {folder}", 'python -m pip install -e ".[test]"', "pytest", "coda check stack.toml"):
        terminal.line(line, indent=2)
