"""``coda run``: runs a stack until its source has ended or somebody stops it."""

from __future__ import annotations

from pathlib import Path

import click

from coda_core.cli.options import json_option, set_option, stack_argument, verbose_option
from coda_core.cli.terminal import Terminal
from coda_core.errors import ConfigError, Problem

__all__ = ["command"]


@click.command("run")
@stack_argument
@set_option
@json_option
@verbose_option
@click.pass_obj
def command(terminal: Terminal, stack: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Run the stack in the file STACK.

    It ends when its audio source has no more and every transport has finished. Ctrl-C ends it early: conversations
    are closed, what was recorded is kept, and the exit code is 130. A second Ctrl-C waits for nothing, not even for
    a model that is still being loaded.
    """
    from coda_core.cli.progress import progress_on
    from coda_core.cli.run.session import Session
    from coda_core.cli.run.summary import as_json_object, show
    from coda_core.cli.running import run_until_stopped
    from coda_core.kernel import Kernel

    session = Session()
    try:
        with progress_on(terminal) as progress:
            kernel = Kernel.from_toml(stack, overrides=overrides, progress=progress)
            if kernel.stack.audio_source is None and not kernel.stack.transports:
                idle = "the stack has no audio_source and no transport, so there is nothing to run."
                remedy = "Add one of them, or open its conversations from Python."
                raise ConfigError([Problem("", idle, remedy)], str(stack))
            run_until_stopped(session.hold(kernel, progress))
    finally:
        if session.tally is not None:
            (terminal.json(as_json_object(session.tally)) if as_json else show(terminal, session.tally))
