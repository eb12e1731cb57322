"""Standard streams that take nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CODA = f"{sys.executable} -m coda_core.cli"


def shell(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", command], cwd=cwd, capture_output=True, text=True, timeout=60)


def test_full_device(here: Path) -> None:
    done = shell(f"{CODA} schema > /dev/full", here)
    assert done.returncode == 2
    assert done.stderr == "coda: error: the result cannot be written to standard output: No space left on device\n"


def test_closed_output(here: Path) -> None:
    done = shell(f"{CODA} schema >&-", here)
    assert (done.returncode, done.stderr) == (0, "")


def test_nowhere_to_complain(here: Path) -> None:
    assert shell(f"{CODA} check missing.toml 2>&-", here).returncode == 2
    assert shell(f"{CODA} check missing.toml 2> /dev/full", here).returncode == 2
