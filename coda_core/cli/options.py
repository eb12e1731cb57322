"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from coda_core.cli.logs import log_to
from coda_core.cli.terminal import Terminal

__all__ = ["json_option", "set_option", "stack_argument", "verbose_option"]

F = TypeVar("F", bound=Callable[..., Any])


def _be_verbose(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        ctx.meta["verbose"] = True
        terminal = ctx.find_object(Terminal)
        if terminal is not None:
            log_to(terminal, verbose=True)


def verbose_option(command: F) -> F:
    """``--verbose``, before or after the name of the command."""
    return click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=_be_verbose,
        help="Log on stderr what is being done.",
    )(command)


def json_option(command: F) -> F:
    """``--json``: the result as one JSON object on stdout, and nothing else there."""
    return click.option("as_json", "--json", is_flag=True, help="Print one JSON object on stdout, and nothing else.")(
        command
    )


def set_option(command: F) -> F:
    """``--set KEY=VALUE``, any number of times."""
    return click.option(
        "overrides",
        "--set",
        metavar="KEY=VALUE",
        multiple=True,
        help="Replace one value of the stack, as in processor.device=cpu. May be repeated.",
    )(command)


def stack_argument(command: F) -> F:
    """The TOML file of a stack."""
    return click.argument("stack", type=click.Path(path_type=Path), metavar="STACK")(command)
