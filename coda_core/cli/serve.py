"""``coda serve``: a server for browsers and Kyutai's clients, without writing a stack first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from coda_core.cli.options import json_option, verbose_option
from coda_core.cli.terminal import Terminal

if TYPE_CHECKING:
    from coda_core.interfaces import Progress
    from coda_core.kernel import Kernel

__all__ = ["command"]

_SOURCE = "coda serve"


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8998, show_default=True, help="0 takes a free one.")
@click.option("--token", envvar="CODA_TOKEN", show_envvar=True, help="What callers must show to talk.")
@click.option(
    "--model",
    default="demo",
    show_default=True,
    help="Checkpoint: demo, tiny, a folder, or a repository of the model hub.",
)
@click.option(
    "--conversations", type=click.IntRange(min=1), default=4, show_default=True, help="How many may talk at once."
)
@json_option
@verbose_option
@click.pass_obj
def command(
    terminal: Terminal, host: str, port: int, token: str | None, model: str, conversations: int, as_json: bool
) -> None:
    """Let people talk to Moshi in their browsers.

    Loads the model, warms it up, and says the address to open. Conversations are kept in memory only; for everything
    else there is to set, write a stack: `coda init --template server`.
    """
    from coda_core.cli.component_config import component_config
    from coda_core.cli.run.holding import run_kernel
    from coda_core.config import Stack
    from coda_core.kernel import Kernel
    from coda_core.plugins import load_plugins

    def make(progress: Progress) -> Kernel:
        registry = load_plugins()
        stack = Stack(
            name="serve",
            source=_SOURCE,
            processor=component_config(
                registry, "processor", "moshi", source=_SOURCE, model_path=model, conversations=conversations
            ),
            transport=(
                component_config(registry, "transport", "websocket", source=_SOURCE, host=host, port=port, token=token),
            ),
        )
        return Kernel(stack, registry=registry, progress=progress)

    run_kernel(terminal, make, as_json=as_json, invitation="Open {url} in a browser, press Start and talk.")
