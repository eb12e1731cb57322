from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

Run = Callable[..., Any]
Start = Callable[..., subprocess.Popen[str]]

FALLBACK = ("--set", "processor.use=moshi", "--set", "processor.fallback=echo")


def test_runs_until_the_source_ends(run: Run, echo_stack: Path, spoken: Path, here: Path) -> None:
    told = run("run", "echo.toml")
    assert told.code == 0
    assert told.err.splitlines() == ["starting", "starting: 100 %", "running, Ctrl-C ends it"]
    rows = dict(line.split(maxsplit=1) for line in told.out.splitlines() if not line.startswith(("what", "stack")))
    assert rows["conversations"] == "1"
    assert rows["frames"] == "16 (1.28 s of audio)"
    assert "dropped frames" in told.out
    assert "late frames" not in told.out, "offline nothing is due at a time"
    heard, _ = soundfile.read(spoken)
    reply, _ = soundfile.read(here / "reply.wav")
    # The echo comes a frame later.
    assert np.array_equal(reply[1920:], heard[: 15 * 1920])


def test_json(run: Run, echo_stack: Path, here: Path) -> None:
    told = run("run", "echo.toml", "--json")
    assert json.loads(told.out) == {
        "outcome": "finished",
        "stack": "echo",
        "processor": "echo",
        "conversations": 1,
        "frames": 16,
        "audio_s": 1.28,
        "dropped_frames": 0,
        "late_frames": 0,
        "texts": 0,
        "faults": 0,
        "devices": [],
        "files": [str(here / "reply.wav"), str(here / "conversations.db")],
    }


def test_set_replaces_a_value(run: Run, echo_stack: Path, spoken: Path, here: Path) -> None:
    assert run("run", "echo.toml", "--set", "processor.delay_frames=0", "--set", "transport.path=other.wav").code == 0
    assert not (here / "reply.wav").exists()
    heard, _ = soundfile.read(spoken)
    reply, _ = soundfile.read(here / "other.wav")
    assert np.array_equal(reply[: len(heard)], heard)


def test_fallback_that_took_over_is_said(run: Run, echo_stack: Path) -> None:
    told = run("run", "echo.toml", "--json", "--set", "processor.model_path=./none", *FALLBACK)
    assert told.code == 0
    assert json.loads(told.out)["processor"] == "echo"
    assert "its fallback" in told.err


def test_files_of_earlier_runs_are_not_claimed(run: Run, echo_stack: Path, here: Path) -> None:
    run("run", "echo.toml")
    (here / "reply.wav").rename(here / "old.wav")
    told = run("run", "echo.toml", "--set", "state_store.use=memory", "--json")
    assert json.loads(told.out)["files"] == [str(here / "reply.wav")]


def test_verbose_logs(run: Run, echo_stack: Path) -> None:
    assert "recorded " in run("run", "echo.toml", "--verbose").err
    assert "recorded " in run("--verbose", "run", "echo.toml").err
    assert "recorded " not in run("run", "echo.toml").err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_in_the_middle(
    start: Start, echo_stack: Path, spoken: Path, here: Path, number: signal.Signals, code: int
) -> None:
    soundfile.write(spoken, np.full(600 * 24_000, 0.25), 24_000, subtype="PCM_16")
    process = start("run", "echo.toml", "--json", "--set", "streaming_manager.use=realtime")
    assert process.stderr is not None
    while process.stderr.readline() != "running, Ctrl-C ends it\n":
        assert process.poll() is None
    wait_for_audio(here)
    process.send_signal(number)
    out, err = process.communicate()
    assert (process.returncode, err) == (code, "")
    told = json.loads(out)
    assert told["outcome"] == "interrupted"
    reply, _ = soundfile.read(here / "reply.wav")
    assert 0 < len(reply) == told["frames"] * 1920
    assert np.array_equal(reply[1920:], np.full(len(reply) - 1920, 0.25))
    assert {each.name for each in here.iterdir()} == {"echo.toml", "caller.wav", "reply.wav", "conversations.db"}
    assert stored_events(here / "conversations.db")[0] == "opened"
    assert stored_events(here / "conversations.db")[-1] == "closed"


def wait_for_audio(folder: Path) -> None:
    """Wait until a recording that is under way has audio in it."""
    while not any(part.stat().st_size for part in folder.glob("reply.wav.*")):
        pass


def stored_events(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT type FROM events ORDER BY sequence").fetchall()
    return [type for (type,) in rows]
