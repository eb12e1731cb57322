from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from coda_core.cli.terminal import Terminal, printable

ROWS = [("reply.wav", "Moshi's voice"), ("a", "[bold]b[/bold] :smile:")]


def test_table_in_a_pipe_is_plain_and_never_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().table(("file", "what it holds"), [*ROWS, ("x" * 200, "y" * 200)])
    told = capsys.readouterr().out
    assert [line.split("  ", 1)[0] for line in told.splitlines()] == ["file", "reply.wav", "a", "x" * 200]
    assert "[bold]b[/bold] :smile:" in told
    assert "\x1b" not in told


def test_line_in_a_pipe_has_no_colour(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().line("word " * 100, "bold red")
    assert capsys.readouterr().out == "word " * 100 + "\n"


def test_on_a_terminal_there_is_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    screen = io.StringIO()
    terminal = Terminal()
    terminal.out = Console(file=screen, force_terminal=True, color_system="truecolor", width=80)
    terminal.line("fine", "green")
    assert screen.getvalue() == "\x1b[32mfine\x1b[0m\n"


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    screen = io.StringIO()
    terminal = Terminal()
    terminal.out = Console(file=screen, force_terminal=True, width=80)
    terminal.line("fine", "green")
    terminal.table(("file", "what it holds"), ROWS)
    assert "fine" in screen.getvalue()
    assert "\x1b[32m" not in screen.getvalue()


def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().json({"word": "über"})
    assert capsys.readouterr().out == '{\n  "word": "\\u00fcber"\n}\n'


def test_a_word_cannot_steer_the_terminal() -> None:
    assert printable("caf\u00e9 \x1b[2J\x07\u200b") == "caf\u00e9 \ufffd[2J\ufffd\ufffd"


def test_stream_that_cannot_show_a_character(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    Terminal().line("über")
    narrow.flush()
    assert isinstance(narrow.buffer, io.BytesIO)
    assert narrow.buffer.getvalue() == b"?ber\n"
