"""``coda run``: runs a stack until its source has ended or somebody stops it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from coda_core.cli.options import json_option, set_option, stack_argument, verbose_option
from coda_core.cli.terminal import Terminal
from coda_core.errors import ConfigError, Problem

if TYPE_CHECKING:
    from coda_core.interfaces import Progress
    from coda_core.kernel import Kernel

__all__ = ["command"]


@click.command("run")
@stack_argument
@set_option
@json_option
@verbose_option
@click.pass_obj
def command(terminal: Terminal, stack: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Run the stack in the file STACK.

    On a terminal, levels, latency, losses and the latest words are shown while it runs.

    It ends when its audio source has no more and every transport has finished. Ctrl-C ends it early: conversations
    are closed, what was recorded is kept, and the exit code is 130. A second Ctrl-C waits for nothing, not even for
    a model that is still being loaded.
    """
    from coda_core.cli.run.holding import run_kernel
    from coda_core.kernel import Kernel

    def make(progress: Progress) -> Kernel:
        kernel = Kernel.from_toml(stack, overrides=overrides, progress=progress)
        if kernel.stack.audio_source is None and not kernel.stack.transports:
            idle = "the stack has no audio_source and no transport, so there is nothing to run."
            remedy = "Add one of them, or open its conversations from Python."
            raise ConfigError([Problem("", idle, remedy)], str(stack))
        return kernel

    run_kernel(terminal, make, as_json=as_json)
