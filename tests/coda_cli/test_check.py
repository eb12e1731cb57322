from __future__ import annotations

import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def test_says_what_is_chosen_from_where_and_why(run: Run, echo_stack: Path) -> None:
    told = run("check", "echo.toml")
    assert told.code == 0
    assert told.err == ""
    about_processor = told.out.partition("processor: echo\n")[2].partition("\n\n")[0].splitlines()
    assert about_processor == [
        f"  from coda-core {metadata.version('coda-core')}, plugin coda_moshi",
        "  named in [processor]",
        "    delay_frames = 1",
        "    conversations = 8",
    ]
    assert "default: no [state_manager] table" in told.out
    assert "\nno problems\n" in told.out


def test_json_has_every_component_with_settings_after_defaults(run: Run, echo_stack: Path) -> None:
    told = run("check", "echo.toml", "--set", "processor.delay_frames=3", "--json")
    checked = json.loads(told.out)
    assert (told.code, checked["ok"], checked["problems"]) == (0, True, [])
    assert checked["source"] == str(echo_stack)
    assert [(each["kind"], each["name"]) for each in checked["components"]] == [
        ("audio_source", "file"),
        ("processor", "echo"),
        ("monologue_extractor", "inner-monologue"),
        ("streaming_manager", "offline"),
        ("state_manager", "conversation"),
        ("state_store", "sqlite"),
        ("transport", "file"),
    ]
    assert checked["components"][1] == {
        "kind": "processor",
        "name": "echo",
        "label": "echo",
        "distribution": "coda-core",
        "version": metadata.version("coda-core"),
        "plugin": "coda_moshi",
        "why": "named in [processor]",
        "settings": {"delay_frames": 3, "conversations": 8},
    }


def test_reports_every_problem_at_once(run: Run, here: Path) -> None:
    (here / "bad.toml").write_text('[processor]\nuse = "echo"\ndelay_frames = "3"\n[transporter]\n')
    told = run("check", "bad.toml")
    assert told.code == 2
    assert told.out == ""
    assert "bad.toml: 2 problems" in told.err
    assert 'processor.delay_frames: found "3" (a string)' in told.err
    assert "transporter: there is no such table" in told.err


def test_json_reports_every_problem_at_once(run: Run, here: Path) -> None:
    (here / "bad.toml").write_text('[processor]\nuse = "echo"\ndelay_frames = "3"\n[transporter]\n')
    told = run("check", "bad.toml", "--json")
    checked = json.loads(told.out)
    assert (told.code, checked["ok"], checked["components"]) == (2, False, [])
    assert {each["key"] for each in checked["problems"]} == {"processor.delay_frames", "transporter"}
    assert all(set(each) == {"key", "message", "remedy"} for each in checked["problems"])


def test_stack_that_has_nothing_to_run_is_said(run: Run, here: Path) -> None:
    (here / "stack.toml").write_text('[processor]\nuse = "echo"\n')
    told = run("check", "stack.toml")
    assert told.code == 0
    assert "It has no audio_source and no transport" in told.out


def test_secrets_are_masked(run: Run, here: Path, install: Callable[[str, str], None]) -> None:
    install(
        "secretive",
        """
import attrs
from coda_core.hookspecs import hookimpl
from coda_core.interfaces import Component
from coda_core.settings import setting
CODA_CONTRACT = 1

@attrs.frozen
class Config:
    token: str = setting(help="A token.", secret=True)

@hookimpl
def coda_register_transports():
    return [Component("secretive", "Keeps quiet.", Config, lambda config, context: None)]
""",
    )
    (here / "stack.toml").write_text('[processor]\nuse = "echo"\n[[transport]]\nuse = "secretive"\ntoken = "hunter2"\n')
    for arguments in (["check", "stack.toml"], ["check", "stack.toml", "--json"]):
        told = run(*arguments)
        assert told.code == 0
        assert "secretive 1.5" in told.out or '"1.5"' in told.out
        assert "hunter2" not in told.out + told.err
        assert "***" in told.out


@pytest.mark.parametrize("template", ["file", "desk", "server"])
def test_accepts_every_template(run: Run, template: str) -> None:
    assert run("init", "--template", template).code == 0
    told = run("check", "stack.toml")
    assert told.code == 0
    assert f'stack "{template}"' in told.out
