"""The command ``coda-demo-model``."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

# Compiling would take longer than it saves at these sizes; moshi reads this when it is imported.
os.environ.setdefault("NO_TORCH_COMPILE", "1")

__all__ = ["main"]


@click.group()
def main() -> None:
    """Train Coda's demo checkpoint: a Moshi of under 8 MB that hears a caller and answers."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")


def _run_options(command: Callable[..., None]) -> Callable[..., None]:
    options = [
        click.option(
            "--output", type=click.Path(file_okay=False, path_type=Path), required=True, help="folder of the run"
        ),
        click.option(
            "--hours", type=click.FloatRange(min=0), default=2.0, show_default=True, help="computing time of training"
        ),
        click.option("--seed", type=int, default=1, show_default=True),
        click.option("--max-steps", type=click.IntRange(min=1), help="end each trained stage after so many steps"),
        click.option(
            "--calls",
            type=click.IntRange(min=1),
            default=420,
            show_default=True,
            help="calls to render for each intent",
        ),
        click.option(
            "--sentences",
            type=click.IntRange(min=1),
            default=2400,
            show_default=True,
            help="sentences of its own voice",
        ),
        click.option(
            "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads of a stage"
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _prepare(values: dict[str, Any]) -> Any:
    import torch

    from coda_demo_model.codes import CodesSize
    from coda_demo_model.corpus import CorpusSize
    from coda_demo_model.stages import Plan, Run

    torch.set_num_threads(values["threads"])
    plan = Plan(
        hours=values["hours"],
        seed=values["seed"],
        max_steps=values["max_steps"],
        stage_minutes=values.get("minutes"),
        corpus=CorpusSize(calls_of_an_intent=values["calls"], drawn_sentences=7 * values["calls"]),
        codes=CodesSize(drawn_sentences=values["sentences"]),
    )
    try:
        return Run(values["output"], plan)
    except ValueError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@_run_options
def train(**values: Any) -> None:
    """Everything, from nothing to a checkpoint folder; a command that was killed is run again to go on."""
    from coda_demo_model.stages import train as train_all

    run = _prepare(values)
    train_all(run)
    click.echo(f"{run.checkpoint} holds the checkpoint")


def _stage(name: str, summary: str) -> None:
    @main.command(name, help=summary)
    @_run_options
    @click.option("--minutes", type=click.FloatRange(min=0), help="computing time of this stage")
    def command(**values: Any) -> None:
        try:
            getattr(_prepare(values), name)()
        except FileNotFoundError as error:
            raise click.ClickException(
                f"{error.filename or error}: the stage before this one has not been run"
            ) from error


_stage("corpus", "Render all speech.")
_stage("codec", "Train encoder and quantiser.")
_stage("codes", "Encode everything with the trained codec.")
_stage("decoder", "Train what turns codes into the model's voice.")
_stage("lm", "Train the language model.")
_stage("export", "Write a checkpoint folder of what is learnt by now.")


@main.command()
@click.argument("checkpoint", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--output", type=click.Path(file_okay=False, path_type=Path), required=True, help="for figures and sounds"
)
@click.option("--measure", "measures", multiple=True, help="only this one; may be repeated")
def evaluate(checkpoint: Path, output: Path, measures: tuple[str, ...]) -> None:
    """Measure a checkpoint folder against the evaluation sets."""
    from coda_demo_model.evaluate import MEASURES
    from coda_demo_model.evaluate import evaluate as measure

    unknown = sorted(set(measures) - set(MEASURES))
    if unknown:
        raise click.ClickException(f"no measure is called {', '.join(unknown)}; there are {', '.join(MEASURES)}")
    for name, value in measure(checkpoint, output, measures).items():
        click.echo(f"{name}: {value}")
