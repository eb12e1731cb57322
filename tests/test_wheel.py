"""The wheel, built and installed where nothing of this checkout can be seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def coda(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `coda` command of a clean environment that holds the base install and nothing else."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin" / "pip", "install", "--quiet", str(wheel)], check=True, capture_output=True)
    return folder / "bin" / "coda"


def run(command: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run([command, *arguments], cwd=cwd, env=environment, capture_output=True, text=True)


def test_the_wheel_holds_the_packages_by_their_own_names(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert top == {"coda_core", "coda_audio", "coda_moshi", "coda_state", "coda_streaming", "coda_websocket"}
    for package in top:
        assert f"{package}/py.typed" in names


def test_the_wheel_holds_the_checkpoint_that_speaks(wheel: Path) -> None:
    """Byte for byte, and little more than a packed checkpoint heavier for it."""
    shipped = ROOT / "plugins" / "coda_moshi" / "demo"
    with zipfile.ZipFile(wheel) as archive:
        held = {name: archive.read(name) for name in archive.namelist() if name.startswith("coda_moshi/demo/")}
    assert held == {f"coda_moshi/demo/{path.name}": path.read_bytes() for path in shipped.iterdir()}
    assert "coda_moshi/demo/moshi.safetensors" in held
    assert wheel.stat().st_size < 9_000_000


def test_the_base_install_lists_its_plugins_and_what_they_need(coda: Path, tmp_path: Path) -> None:
    listed = run(coda, "plugins", "--json", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert '"moshi"' in listed.stdout
    assert json.loads(listed.stdout)
    assert run(coda.parent / "python", "-c", "import torch", cwd=tmp_path).returncode != 0


def test_the_base_install_runs_a_file_through_echo(coda: Path, tmp_path: Path) -> None:
    caller = np.sin(np.arange(48_000) * 2 * np.pi * 440 / 24_000).astype(np.float32) * 0.5
    soundfile.write(tmp_path / "caller.wav", caller, 24_000)
    (tmp_path / "stack.toml").write_text(
        """
        [audio_source]
        use = "file"
        path = "caller.wav"

        [processor]
        use = "echo"

        [streaming_manager]
        use = "offline"

        [state_store]
        use = "sqlite"
        path = "conversations.db"

        [[transport]]
        use = "file"
        path = "reply.wav"
        """
    )
    ran = run(coda, "run", "stack.toml", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    with wave.open(str(tmp_path / "reply.wav")) as reply:
        assert reply.getframerate() == 24_000
        assert abs(reply.getnframes() - 48_000) <= 2 * 1_920
    assert (tmp_path / "conversations.db").stat().st_size > 0


def test_a_component_whose_extra_is_missing_says_which_to_install(coda: Path, tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text('[processor]\nuse = "moshi"\nmodel_path = "tiny"\n')
    checked = run(coda, "check", "stack.toml", cwd=tmp_path)
    assert checked.returncode == 2
    told = checked.stdout + checked.stderr
    assert "pip install 'coda-core[moshi]'" in told
    assert "Traceback" not in told
