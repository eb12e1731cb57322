"""Runs a kernel on a terminal, from the first progress bar to the summary."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, ExitStack

from coda_core.cli.live import live
from coda_core.cli.progress import progress_on
from coda_core.cli.run.session import Session
from coda_core.cli.run.summary import as_json_object, show
from coda_core.cli.running import run_until_stopped
from coda_core.cli.terminal import Terminal
from coda_core.interfaces import Progress
from coda_core.kernel import Kernel

__all__ = ["run_kernel"]


def run_kernel(
    terminal: Terminal, make: Callable[[Progress], Kernel], *, as_json: bool, invitation: str = "listening on {url}"
) -> None:
    """Run the kernel that `make` returns until its work is done or the user stops it; then say how it went.

    `invitation` is what is said where callers are taken.
    """
    session = Session(
        lambda url: terminal.aside(invitation.format(url=url)),
        lambda: terminal.aside("this conversation is recorded: what is heard and said is kept in the state store"),
    )
    try:
        with ExitStack() as bars:
            progress = bars.enter_context(progress_on(terminal))
            kernel = make(progress)

            def beside(kernel: Kernel) -> AbstractAsyncContextManager[None]:
                # A terminal has room for one moving thing.
                bars.close()
                return live(terminal, kernel)

            run_until_stopped(session.hold(kernel, progress, beside))
    finally:
        if session.tally is not None:
            (terminal.json(as_json_object(session.tally)) if as_json else show(terminal, session.tally))
