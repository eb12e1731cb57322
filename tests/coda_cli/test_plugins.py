from __future__ import annotations

import json
from collections.abc import Callable
from importlib import metadata
from typing import Any

import pytest

Run = Callable[..., Any]
Install = Callable[[str, str], None]

DEAF = """
import attrs
from coda_core.hookspecs import hookimpl
from coda_core.interfaces import Component, Requires
CODA_CONTRACT = 1

@attrs.frozen
class Config:
    pass

@hookimpl
def coda_register_transports():
    return [Component("deaf", "Sends nothing.", Config, lambda config, context: None, requires=REQUIRES)]
"""


def deaf(requires: str) -> str:
    return DEAF.replace("REQUIRES", requires)


def listed(run: Run, *arguments: str) -> tuple[int, dict[str, Any]]:
    told = run("plugins", "--json", *arguments)
    return told.code, json.loads(told.out)


def test_lists_every_component_on_a_line(run: Run) -> None:
    told = run("plugins")
    rows = [line.split() for line in told.out.splitlines()]
    version = metadata.version("coda-core")
    assert rows[0][:4] == ["kind", "name", "from", "state"]
    for kind, name in [
        ("audio_source", "file"),
        ("processor", "echo"),
        ("processor", "moshi"),
        ("monologue_extractor", "inner-monologue"),
        ("streaming_manager", "offline"),
        ("streaming_manager", "realtime"),
        ("state_manager", "conversation"),
        ("state_store", "sqlite"),
        ("transport", "file"),
    ]:
        (row,) = (row for row in rows if row[:2] == [kind, name])
        assert row[2:4] == ["coda-core", version]


def test_json_lists_plugins_and_components(run: Run) -> None:
    code, found = listed(run)
    assert code == 0
    assert [each["name"] for each in found["plugins"] if each["distribution"] == "coda-core"] == [
        "coda_audio",
        "coda_moshi",
        "coda_state",
        "coda_streaming",
        "coda_websocket",
    ]
    (echo,) = (each for each in found["components"] if each["name"] == "echo")
    assert (echo["kind"], echo["plugin"], echo["ready"], echo["state"]) == ("processor", "coda_moshi", True, "ready")
    assert found["broken"] == found["disabled"] == found["conflicts"] == []


def test_component_of_a_third_party(run: Run, install: Install) -> None:
    install("mute", deaf("None"))
    _, found = listed(run)
    assert {"name": "mute", "distribution": "mute", "version": "1.5"} in found["plugins"]
    assert [(each["name"], each["distribution"]) for each in found["components"] if each["plugin"] == "mute"] == [
        ("deaf", "mute")
    ]


@pytest.mark.parametrize("check", [[], ["--check"]])
def test_missing_packages_are_named_with_what_to_install(run: Run, install: Install, check: list[str]) -> None:
    install("mute", deaf('Requires(("no_such_module_here",), "mute[sound]")'))
    code, found = listed(run, *check)
    (deaf_one,) = (each for each in found["components"] if each["name"] == "deaf")
    # Nobody has to install what they do not use.
    assert code == 0
    assert deaf_one["ready"] is False
    assert deaf_one["state"] == "needs no_such_module_here: pip install 'mute[sound]'"


def test_check_imports_what_is_needed_and_says_its_version(run: Run, install: Install) -> None:
    install("mute", deaf('Requires(("soundfile", "soxr"), "mute[sound]")'))
    code, found = listed(run, "--check")
    (deaf_one,) = (each for each in found["components"] if each["name"] == "deaf")
    versions = f"soundfile {metadata.version('soundfile')}, soxr {metadata.version('soxr')}"
    assert (code, deaf_one["ready"], deaf_one["state"]) == (0, True, f"ready: {versions}")


def test_check_finds_a_package_that_cannot_be_imported(run: Run, install: Install) -> None:
    install("shaky", "raise OSError('its library is not found')")
    install("mute", deaf('Requires(("shaky",), "mute[sound]")'))
    assert {each["name"]: each["ready"] for each in listed(run)[1]["components"]}["deaf"]
    code, found = listed(run, "--check")
    (deaf_one,) = (each for each in found["components"] if each["name"] == "deaf")
    assert (code, deaf_one["ready"]) == (2, False)
    assert deaf_one["state"] == "shaky cannot be imported (its library is not found): pip install 'mute[sound]'"


def test_broken_plugin_is_listed_with_its_reason(run: Run, install: Install) -> None:
    install("shaky", "import no_such_module_here")
    told = run("plugins")
    assert told.code == 0
    assert 'broken: "shaky" of shaky 1.5: it cannot be imported' in told.out
    assert run("plugins", "--check").code == 2
    assert [each["name"] for each in listed(run)[1]["broken"]] == ["shaky"]


def test_two_components_of_one_name(run: Run, install: Install) -> None:
    install("mute", deaf("None"))
    install("silent", deaf("None"))
    code, found = listed(run, "--check")
    assert code == 2
    (conflict,) = found["conflicts"]
    assert (conflict["kind"], conflict["name"]) == ("transport", "deaf")
    assert [each["name"] for each in conflict["plugins"]] == ["mute", "silent"]
    assert [each["ready"] for each in found["components"] if each["name"] == "deaf"] == [False, False]


def test_disabled_plugins_are_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODA_DISABLED_PLUGINS", "coda_state")
    assert "disabled: coda_state\n" in run("plugins").out
    assert listed(run)[1]["disabled"] == ["coda_state"]
