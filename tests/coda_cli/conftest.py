"""The command line, run in this process and in one of its own, and what it is given."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from coda_core.cli import coda

Run = Callable[..., "Ran"]
Install = Callable[[str, str], None]


@attrs.frozen
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache_of_its_own(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made once, such as the tiny checkpoint, is made once for all tests, and not in the user's folder."""
    monkeypatch.setenv("CODA_CACHE_DIR", str(cache))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that commands are run in."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run(here: Path) -> Run:
    """Runs ``coda`` in this process, in the folder `here`. A defect is raised."""

    def run(*arguments: str) -> Ran:
        done = CliRunner().invoke(coda, arguments, prog_name="coda", catch_exceptions=False)
        return Ran(done.exit_code, done.stdout, done.stderr)

    return run


@pytest.fixture
def start(here: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts ``coda`` in a process of its own, in the folder `here`; none outlives its test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "coda_core.cli", *arguments],
            cwd=here,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def spoken(here: Path) -> Path:
    """A second and a bit of a tone: 16 frames, the last one partly filled."""
    path = here / "caller.wav"
    samples = round(15.5 * 1920)
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(samples) / 24_000)
    soundfile.write(path, tone, 24_000, subtype="PCM_16")
    return path


@pytest.fixture
def echo_stack(here: Path, spoken: Path) -> Path:
    """A stack that answers `spoken` with itself, in ``reply.wav``."""
    path = here / "echo.toml"
    path.write_text(
        f"""
        [stack]
        name = "echo"
        [audio_source]
        use = "file"
        path = "{spoken.name}"
        [processor]
        use = "echo"
        [streaming_manager]
        use = "offline"
        [state_store]
        use = "sqlite"
        [[transport]]
        use = "file"
        path = "reply.wav"
        """
    )
    return path


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a plugin of one module, as pip would, in a folder on the path of this process and its children."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    modules: list[str] = []

    def install(name: str, source: str) -> None:
        (site / f"{name}.py").write_text(source)
        about = site / f"{name}-1.5.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        (about / "entry_points.txt").write_text(f"[coda]\n{name} = {name}\n")
        modules.append(name)

    yield install
    for name in modules:
        sys.modules.pop(name, None)
