"""The command `coda`: finds its subcommands when they are called for, and ends with a message and a code.

Exit codes: 0 done, 2 something that its user can put right, 130 stopped with Ctrl-C, 141 nobody reads the
result any more, 129 and 143 stopped by SIGHUP and SIGTERM. A defect keeps its traceback and ends with 1.
"""

from __future__ import annotations

import sys
from importlib import import_module, metadata
from typing import Any, Final

import click

from coda_core.cli.logs import log_to
from coda_core.cli.options import verbose_option
from coda_core.cli.terminal import Terminal, silence
from coda_core.errors import CodaError
from coda_core.wording import did_you_mean

__all__ = ["COMMANDS", "coda", "main"]

COMMANDS: Final = (
    "demo",
    "serve",
    "run",
    "check",
    "plan",
    "plugins",
    "schema",
    "init",
    "new",
    "doctor",
    "devices",
    "bench",
    "conversations",
)
"""Each is the variable `command` in the module of its name: only the one that is called is imported."""

INTERRUPTED: Final = 130
UNREAD: Final = 141


class _Expected(click.ClickException):
    """A `CodaError` on its way out: one message, without class name and traceback."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        try:
            click.echo(f"coda: error: {self.message}", file=file or sys.stderr)
        except OSError:
            silence(sys.stderr)


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"coda_core.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            near = did_you_mean(args[0], COMMANDS)
            raise click.UsageError(f'there is no command "{args[0]}". {near}'.rstrip(), ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CodaError as error:
            raise _Expected(str(error)) from error
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # Whoever read the result, `head` perhaps, has seen enough.
            silence(sys.stdout)
            raise click.exceptions.Exit(UNREAD) from None


def _show_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"coda {metadata.version('coda-core')}")
        ctx.exit()


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
@verbose_option
@click.pass_context
def coda(ctx: click.Context) -> None:
    """Full-duplex spoken conversation with Kyutai's Moshi, assembled from plugins."""
    ctx.obj = Terminal()
    log_to(ctx.obj, verbose=bool(ctx.meta.get("verbose")))


def main() -> None:
    """Run the command line of this process."""
    coda(prog_name="coda")
