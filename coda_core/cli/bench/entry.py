"""``coda bench``: how many conversations this machine holds with a checkpoint."""

from __future__ import annotations

from pathlib import Path

import click

from coda_core.cli.options import json_option, set_option, verbose_option
from coda_core.cli.terminal import Terminal

__all__ = ["command"]


@click.command("bench")
@click.argument("stack", type=click.Path(path_type=Path), metavar="[STACK]", required=False)
@set_option
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=20.0,
    show_default=True,
    help="How long the callers talk in the run that confirms the answer.",
)
@click.option(
    "--max",
    "most",
    type=click.IntRange(min=1),
    metavar="N",
    help="Largest number of conversations to try; by default as many as the processor can be asked for.",
)
@click.option(
    "--plot",
    "plot_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draw the step times: a picture (.png, needs matplotlib) or a page that needs nothing (.html).",
)
@json_option
@verbose_option
@click.pass_obj
def command(
    terminal: Terminal,
    stack: Path | None,
    overrides: tuple[str, ...],
    seconds: float,
    most: int | None,
    plot_path: Path | None,
    as_json: bool,
) -> None:
    """Find out how many conversations this machine holds with the checkpoint of STACK.

    Without STACK it is the checkpoint "demo". The processor is made for 1, 2, 4, 8, ... conversations, and a step of
    a full batch is timed, until it takes longer than a frame leaves time for. The largest number that fits then talks
    in real time, and is confirmed where no frame is dropped and no more than one in a hundred is late by a frame; if
    not, a smaller one is tried. The stack's audio source, transports and store take no part.
    """
    from coda_core.cli.bench.confirming import confirm
    from coda_core.cli.bench.findings import Findings
    from coda_core.cli.bench.once import each_said_once
    from coda_core.cli.bench.plot import plot_writer
    from coda_core.cli.bench.subject import measured_subject
    from coda_core.cli.bench.summary import as_json_object, show
    from coda_core.cli.bench.timing import time_batches
    from coda_core.cli.progress import progress_on
    from coda_core.cli.running import run_until_stopped

    if overrides and stack is None:
        raise click.UsageError("--set replaces a value of a stack; give STACK too.")
    write_plot = plot_writer(plot_path) if plot_path is not None else None
    subject = measured_subject(stack, overrides)
    findings = Findings.about(subject)
    drawn = False
    try:
        with progress_on(terminal) as progress, each_said_once():
            time_batches(subject, most, findings, progress)
            if findings.fitting:
                run_until_stopped(confirm(subject, seconds, findings, progress))
            findings.outcome = "finished"
        if write_plot is not None:
            write_plot(findings)
            drawn = True
    except (KeyboardInterrupt, click.exceptions.Exit):
        findings.outcome = "interrupted"
        raise
    finally:
        if findings.batches:
            if as_json:
                terminal.json(as_json_object(findings))
            else:
                show(terminal, findings)
                if drawn:
                    terminal.line(f"The step times are drawn in {plot_path}.")
