"""``coda new plugin``: what it writes is complete, installs, passes its own tests and is found by ``coda``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coda_core.interfaces import KINDS

Run = Callable[..., Any]

ROOT = Path(__file__).parents[2]


USE = """
import json, os, sys
from pathlib import Path
from click.testing import CliRunner
from coda_core.cli import coda

def run(*arguments):
    told = CliRunner().invoke(coda, arguments, prog_name="coda", catch_exceptions=False)
    assert told.exit_code == 0, f"{arguments}: {told.output}"
    return told.stdout

found = {"plugins": json.loads(run("plugins", "--json")), "checked": {}, "made": {}}
for folder in map(Path, sys.argv[1:]):
    os.chdir(folder)
    found["checked"][folder.name] = json.loads(run("check", "--json", "stack.toml"))
    before = {path.name for path in folder.iterdir()}
    run("run", "stack.toml")
    found["made"][folder.name] = sorted({path.name for path in folder.iterdir()} - before)
print(json.dumps(found))
"""
"""Checks and runs the stack of every folder that is named, in one process."""


def installed(folder: Path, site: Path) -> None:
    """Install a package as ``pip install -e`` would, without asking anybody for anything."""
    about = tomllib.loads((folder / "pyproject.toml").read_text())
    (package,) = about["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert (folder / package / "register.py").exists()
    info = site / f"{package}-{about['project']['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {about['project']['name']}\nVersion: {about['project']['version']}\n"
    )
    entries = about["project"]["entry-points"]["coda"]
    (info / "entry_points.txt").write_text(
        "[coda]\n" + "".join(f"{name} = {module}\n" for name, module in entries.items())
    )


@pytest.mark.timeout(1200)
def test_every_kind_is_complete(run: Run, here: Path, tmp_path: Path) -> None:
    """All seven side by side: their tests in one run, and what ``coda`` makes of their stacks."""
    site = tmp_path / "site"
    folders = {}
    for kind in KINDS:
        name = f"my-{kind.replace('_', '-')}"
        told = run("new", "plugin", name, "--kind", kind)
        assert told.code == 0
        assert told.out.splitlines()[0] == f"wrote coda-{name}; next:"
        folders[kind] = here / f"coda-{name}"
        installed(folders[kind], site)
        for path in folders[kind].rglob("*"):
            if path.is_file():
                left = re.search(r"[Ee]xample|SUMMARY|ABOUT|KIND_WORDS|PROTOCOL|>=0.0", path.read_text())
                assert left is None, f"{path} still says {left}"
    paths = os.pathsep.join([str(site), *map(str, folders.values()), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}

    def ran(*command: str) -> str:
        done = subprocess.run([sys.executable, *command], cwd=here, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    found = json.loads(ran("-c", USE, *map(str, folders.values())))
    components = found["plugins"]["components"]
    mine = {each["kind"]: each["name"] for each in components if each["distribution"].startswith("coda-my-")}
    assert mine == {kind: f"my-{kind.replace('_', '-')}" for kind in KINDS}
    for kind, folder in folders.items():
        chosen = found["checked"][folder.name]["components"]
        assert (kind, mine[kind]) in {(each["kind"], each["name"]) for each in chosen}
        assert set(found["made"][folder.name]) & {"reply.wav", "said.txt", "conversations"}
    tests = [str(folder / "tests") for folder in folders.values()]
    told = ran(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", "--rootdir", str(here), *tests
    )
    assert re.search(r"^\d+ passed in", told, re.MULTILINE), told


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Radio", '"Radio" cannot be the name of a component'),
        ("radio_four", "lower-case letters and digits"),
        ("4radio", "beginning with a letter"),
        ("coda-", "cannot be the name"),
        ("a" * 51, "50 characters at most"),
        ("class", '"class" has a meaning of its own'),
        ("audio", "a package coda_audio is installed here already"),
        ("silence", 'there is an audio source called "silence" already'),
    ],
)
def test_names_that_cannot_be(run: Run, here: Path, name: str, said: str) -> None:
    told = run("new", "plugin", name, "--kind", "audio_source")
    assert told.code == 2
    assert said in told.err
    assert list(here.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(run: Run, here: Path) -> None:
    (here / "coda-tone").mkdir()
    told = run("new", "plugin", "tone", "--kind", "audio_source")
    assert told.code == 2
    assert told.err == "coda: error: coda-tone exists; give another name, or another place with --into\n"
    assert list((here / "coda-tone").iterdir()) == []
    assert run("new", "plugin", "coda-tone", "--kind", "audio_source", "--into", "elsewhere").code == 0
    assert (here / "elsewhere" / "coda-tone" / "coda_tone" / "tone.py").exists()


def test_a_place_that_cannot_be_written(run: Run, here: Path) -> None:
    (here / "file").write_text("")
    told = run("new", "plugin", "tone", "--kind", "transport", "--into", "file")
    assert told.code == 2
    assert "cannot be made" in told.err
