from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Any

import pytest

from coda_core.cli import coda, group

Run = Callable[..., Any]
Start = Callable[..., subprocess.Popen[str]]


def test_version(run: Run) -> None:
    assert run("--version").out == f"coda {metadata.version('coda-core')}\n"


def test_help_names_every_command(run: Run) -> None:
    told = run("--help").out
    assert [line.split()[0] for line in told.partition("Commands:")[2].splitlines() if line.strip()] == list(
        group.COMMANDS
    )


@pytest.mark.parametrize("command", group.COMMANDS)
def test_every_command_has_help_and_can_be_verbose(run: Run, command: str) -> None:
    told = run(command, "--help")
    assert told.code == 0
    assert "--verbose" in told.out


@pytest.mark.parametrize("command", ["demo", "run", "check", "plugins", "doctor"])
def test_every_reporting_command_offers_json(run: Run, command: str) -> None:
    assert "--json" in run(command, "--help").out


def test_unknown_command_offers_the_nearest(run: Run) -> None:
    ended = run("plugin")
    assert ended.code == 2
    assert 'there is no command "plugin". Did you mean "plugins"?' in ended.err


def test_expected_error_is_one_message(run: Run) -> None:
    ended = run("check", "nowhere.toml")
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith("coda: error: ")
    assert ended.err.count("\n") == 1


def test_defect_keeps_its_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("coda_core.plugins.load_plugins", broken)
    with pytest.raises(ZeroDivisionError):
        run("plugins")


def test_ctrl_c_ends_with_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("coda_core.plugins.load_plugins", interrupted)
    assert run("plugins").code == 130


def test_reader_that_goes_away_is_no_defect(start: Start) -> None:
    process = start("schema")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait() == 141


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["plugins"], ["plugins", "--json"], ["schema"]])
def test_what_is_quick_imports_nothing_heavy(arguments: list[str]) -> None:
    heavy = {"numpy", "torch", "moshi", "sounddevice", "soundfile", "soxr", "sentencepiece", "safetensors", "rich"}
    program = (
        "import sys\n"
        "from coda_core.cli import coda\n"
        f"coda.main({arguments!r}, prog_name='coda', standalone_mode=False)\n"
        "print('imported', *sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    imported = set(done.stderr.rpartition("imported ")[2].split())
    assert "coda_core.cli.group" in imported
    assert imported & heavy == set()


def test_module_and_script_are_one_command(start: Start) -> None:
    process = start("--version")
    assert process.communicate()[0] == f"coda {metadata.version('coda-core')}\n"
    (script,) = (each for each in metadata.entry_points(group="console_scripts") if each.name == "coda")
    assert script.load() is group.main


def test_public_names() -> None:
    import coda_core.cli

    assert sorted(coda_core.cli.__all__) == ["coda", "main"]
    assert coda_core.cli.coda is coda
