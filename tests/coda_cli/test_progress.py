from __future__ import annotations

import io
import sys
from collections.abc import Callable

import pytest

from coda_core.cli.progress import progress_on
from coda_core.cli.terminal import Terminal


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """Returns what was written on a stderr that is a pipe."""
    return lambda: capsys.readouterr().err.splitlines()


def test_in_a_pipe_a_line_for_each_quarter(lines: Callable[[], list[str]]) -> None:
    with progress_on(Terminal()) as progress:
        for done in range(101):
            progress("loading [weights]", done, 100)
    assert lines() == [f"loading [weights]: {quarter} %" for quarter in (0, 25, 50, 75, 100)]


def test_in_a_pipe_quarters_may_be_skipped_and_never_go_back(lines: Callable[[], list[str]]) -> None:
    with progress_on(Terminal()) as progress:
        for done in (0.6, 0.1, 1.2, 1.3):
            progress("loading", done, 1.0)
    assert lines() == ["loading: 50 %", "loading: 100 %"]


def test_in_a_pipe_a_total_that_is_not_known(lines: Callable[[], list[str]]) -> None:
    with progress_on(Terminal()) as progress:
        progress("running", 0, 0)
        progress("running", 5, 0)
    assert lines() == ["running"]


def test_on_a_terminal_a_bar_for_each_piece_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", screen)
    with progress_on(Terminal()) as progress:
        progress("loading [weights]", 1, 2)
        progress("running", 0, 0)
        progress("loading [weights]", 2, 2)
    assert "loading [weights]" in screen.getvalue()
    assert "100%" in screen.getvalue()
    assert "running" in screen.getvalue()
