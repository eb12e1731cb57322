from __future__ import annotations

import io

from rich.console import Console

from coda_core.cli.progress import progress_on


def lines(screen: io.StringIO) -> list[str]:
    return screen.getvalue().splitlines()


def test_in_a_pipe_a_line_for_each_quarter() -> None:
    screen = io.StringIO()
    with progress_on(Console(file=screen)) as progress:
        for done in range(101):
            progress("loading [weights]", done, 100)
    assert lines(screen) == [f"loading [weights]: {quarter} %" for quarter in (0, 25, 50, 75, 100)]


def test_in_a_pipe_quarters_may_be_skipped_and_never_go_back() -> None:
    screen = io.StringIO()
    with progress_on(Console(file=screen)) as progress:
        for done in (0.6, 0.1, 1.2, 1.3):
            progress("loading", done, 1.0)
    assert lines(screen) == ["loading: 50 %", "loading: 100 %"]


def test_in_a_pipe_a_total_that_is_not_known() -> None:
    screen = io.StringIO()
    with progress_on(Console(file=screen)) as progress:
        progress("running", 0, 0)
        progress("running", 5, 0)
    assert lines(screen) == ["running"]


def test_on_a_terminal_a_bar_for_each_piece_of_work() -> None:
    screen = io.StringIO()
    with progress_on(Console(file=screen, force_terminal=True, width=80)) as progress:
        progress("loading [weights]", 1, 2)
        progress("running", 0, 0)
        progress("loading [weights]", 2, 2)
    assert "loading [weights]" in screen.getvalue()
    assert "100%" in screen.getvalue()
    assert "running" in screen.getvalue()
