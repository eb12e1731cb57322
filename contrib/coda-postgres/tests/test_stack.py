"""The store in a stack, as its user has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from coda_postgres.config import PostgresStoreConfig

STACK = """
[audio_source]
use = "file"
path = "caller.wav"

[processor]
use = "echo"

[streaming_manager]
use = "offline"

[state_store]
use = "postgres"
url = "${CODA_DATABASE_URL}"

[[transport]]
use = "file"
path = "reply.wav"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "caller.wav", np.random.default_rng(0).normal(0, 0.1, 48_000), 24_000)
    (tmp_path / "stack.toml").write_text(STACK)
    return tmp_path


def coda(folder: Path, url: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "coda_core.cli", *arguments],
        cwd=folder,
        env={**os.environ, "CODA_DATABASE_URL": url, "CODA_CACHE_DIR": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_conversation_is_stored_shown_searched_and_deleted(config: PostgresStoreConfig, folder: Path) -> None:
    shown = coda(folder, config.url, "check", "stack.toml")
    assert "postgres" in shown
    assert config.url not in shown
    coda(folder, config.url, "run", "stack.toml")
    (row,) = json.loads(coda(folder, config.url, "conversations", "list", "--json"))["conversations"]
    assert row["closed_s"] is not None
    story = json.loads(coda(folder, config.url, "conversations", "show", row["conversation"], "--json", "--events"))
    assert story["all_events"][0]["type"] == "opened"
    assert len(story["all_events"]) == row["events"]
    coda(folder, config.url, "conversations", "delete", row["conversation"], "--yes")
    assert json.loads(coda(folder, config.url, "conversations", "list", "--json")) == {"conversations": []}
