"""``coda demo``: a recording goes through Moshi, and what comes out lies in a folder."""

from __future__ import annotations

from pathlib import Path

import click

from coda_core.cli.options import json_option, verbose_option
from coda_core.cli.terminal import Terminal

__all__ = ["command"]


@click.command("demo")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default="coda-demo",
    show_default=True,
    metavar="DIR",
    help="Folder for what comes out; made where it is missing.",
)
@click.option(
    "--input",
    "recording",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A recording of yours: WAV, FLAC, OGG or MP3.",
)
@click.option(
    "--stack",
    "stack_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A stack of yours, for all but its audio source, transports and store: these are the demo's.",
)
@click.option("--say", metavar="TEXT", help="Have Moshi say this, too, when the recording is over.")
@json_option
@verbose_option
@click.pass_obj
def command(
    terminal: Terminal, output: Path, recording: Path | None, stack_path: Path | None, say: str | None, as_json: bool
) -> None:
    """Let Moshi answer a recording; write its voice, a transcript, a page to look at and listen to, and a database.

    Without options, a recorded caller asks three questions, and the checkpoint "demo" answers: a Moshi of under 8 MB
    that comes with Coda and knows a few things about itself. It needs no network and no GPU.
    """
    from coda_core.cli.demo.caller import chosen_caller
    from coda_core.cli.demo.files import DemoFiles
    from coda_core.cli.demo.report import write_report
    from coda_core.cli.demo.session import Session
    from coda_core.cli.demo.stack import demo_kernel
    from coda_core.cli.demo.summary import as_json_object, show
    from coda_core.cli.progress import progress_on
    from coda_core.cli.running import run_until_stopped

    if say is not None and not say.strip():
        raise click.BadParameter("there is nothing to say: the text is blank", param_hint="--say")
    with chosen_caller(recording) as caller:
        files = DemoFiles(output)
        session = Session(files)
        try:
            with progress_on(terminal) as progress:
                kernel = demo_kernel(caller, say, files, stack_path, progress)
                files.prepare()
                run_until_stopped(session.hold(kernel, caller, say, progress))
        finally:
            talk = session.talk
            if talk is None:
                files.withdraw()
            else:
                if talk.frames:
                    write_report(files, talk)
                if as_json:
                    terminal.json(as_json_object(talk, files))
                else:
                    show(terminal, talk, files)
