from __future__ import annotations

import io
import sys
from collections.abc import Callable

import pytest
from rich.console import Console

from coda_core.cli.terminal import Terminal, printable

ROWS = [("reply.wav", "Moshi's voice"), ("a", "[bold]b[/bold] :smile:")]


@pytest.fixture
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[], io.StringIO]:
    """Makes stdout a terminal, once the test is running: before that, pytest puts its own there."""

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLORTERM", "truecolor")

    def screen() -> io.StringIO:
        screen = Screen()
        monkeypatch.setattr(sys, "stdout", screen)
        return screen

    return screen


def test_table_in_a_pipe_is_plain_and_never_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().table(("file", "what it holds"), [*ROWS, ("x" * 200, "y" * 200)])
    told = capsys.readouterr().out
    assert [line.split("  ", 1)[0] for line in told.splitlines()] == ["file", "reply.wav", "a", "x" * 200]
    assert "[bold]b[/bold] :smile:" in told
    assert "\x1b" not in told


def test_line_in_a_pipe_has_no_colour(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().line("word " * 100, "bold red", indent=2)
    assert capsys.readouterr().out == "  " + "word " * 100 + "\n"


def test_asides_stay_out_of_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().aside("by the way")
    assert capsys.readouterr() == ("", "by the way\n")


def test_on_a_terminal_there_is_colour(on_a_terminal: Callable[[], io.StringIO]) -> None:
    screen = on_a_terminal()
    Terminal().line("fine", "green")
    assert screen.getvalue() == "\x1b[32mfine\x1b[0m\n"


def test_on_a_terminal_a_table_has_a_rule_below_its_head(on_a_terminal: Callable[[], io.StringIO]) -> None:
    screen = on_a_terminal()
    Terminal().table(("file", "what it holds"), ROWS)
    shown = screen.getvalue()
    assert "─" in shown
    assert "[bold]b[/bold] :smile:" in shown


def test_on_a_terminal_long_lines_keep_their_indent(on_a_terminal: Callable[[], io.StringIO]) -> None:
    screen = on_a_terminal()
    terminal = Terminal()
    assert terminal.out is not None
    terminal.out.width = 20
    terminal.line("eleven words that are too many for a line", indent=4)
    shown = screen.getvalue().splitlines()
    assert len(shown) == 3
    assert [line for line in shown if not line.startswith("    ") or line.startswith("     ")] == []


def test_no_color_is_honoured(on_a_terminal: Callable[[], io.StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    screen = on_a_terminal()
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    terminal.line("fine", "green")
    terminal.table(("file", "what it holds"), ROWS)
    assert screen.getvalue().startswith("fine\n")
    assert "\x1b[32m" not in screen.getvalue()


def test_rich_is_used_on_a_terminal_alone(on_a_terminal: Callable[[], io.StringIO]) -> None:
    on_a_terminal()
    terminal = Terminal()
    assert isinstance(terminal.out, Console)
    assert terminal.err is None


def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().json({"word": "über"})
    assert capsys.readouterr().out == '{\n  "word": "\\u00fcber"\n}\n'


def test_a_word_cannot_steer_the_terminal() -> None:
    assert printable("caf\u00e9 \x1b[2J\x07\u200b") == "caf\u00e9 \ufffd[2J\ufffd\ufffd"


def test_stream_that_cannot_show_a_character(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    Terminal().line("über")
    assert isinstance(narrow.buffer, io.BytesIO)
    assert narrow.buffer.getvalue() == b"?ber\n"
