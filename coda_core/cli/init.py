"""``coda init``: a stack to start from."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final

import click

from coda_core.cli.options import verbose_option
from coda_core.cli.terminal import Terminal
from coda_core.errors import CodaError

__all__ = ["TEMPLATES", "command", "template"]

TEMPLATES: Final = ("file", "desk", "server")


def template(name: str) -> str:
    """Return the text of a template."""
    return (resources.files("coda_core.cli") / "templates" / f"{name}.toml").read_text("utf-8")


@click.command("init")
@click.option(
    "name",
    "--template",
    type=click.Choice(TEMPLATES),
    default="file",
    show_default=True,
    help="file: a recording in, Moshi's reply out. desk: one conversation in real time. server: many of them.",
)
@click.option("--force", is_flag=True, help="Replace a file that exists.")
@verbose_option
@click.argument("path", type=click.Path(path_type=Path), default="stack.toml")
@click.pass_obj
def command(terminal: Terminal, name: str, force: bool, path: Path) -> None:
    """Write a commented stack to PATH (stack.toml if not given)."""
    from coda_core.cli.whole_file import write_whole

    if path.is_dir():
        raise CodaError(f"{path} is a folder; give the name of a TOML file")
    if path.exists() and not force:
        raise CodaError(f"{path} exists; give another name, or --force to replace it")
    write_whole(path, template(name))
    terminal.line(f"wrote {path}; next: coda check {path}")
