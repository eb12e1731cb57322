"""``coda schema``: the JSON Schema of a stack, for editors."""

from __future__ import annotations

import click

from coda_core.cli.options import verbose_option
from coda_core.cli.terminal import Terminal

__all__ = ["command"]


@click.command("schema")
@verbose_option
@click.pass_obj
def command(terminal: Terminal) -> None:
    """Print a JSON Schema of stacks with the plugins that are installed here.

    Save it as coda.schema.json beside a stack whose first line is "#:schema ./coda.schema.json", and an editor with
    a TOML language server completes and checks the stack.
    """
    from coda_core.config.schema import stack_schema
    from coda_core.plugins import load_plugins

    terminal.json(stack_schema(load_plugins()))
