from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from coda_core.cli.demo.caller import chosen_caller

Run = Callable[..., Any]
Start = Callable[..., subprocess.Popen[str]]
Install = Callable[[str, str], None]

LENGTH_S = 21.0
"""Of the recording that comes with Coda."""
FRAMES = 263
"""262.5, rounded up."""
FILES = ("conversation.wav", "conversations.db", "reply.wav", "report.html", "transcript.json")

PARROT = """
import attrs
import numpy as np
from contextlib import contextmanager
from coda_core.hookspecs import hookimpl
from coda_core.interfaces import Component
from coda_core.testing import ScriptedProcessor
CODA_CONTRACT = 1

@attrs.frozen
class Config:
    pass

@contextmanager
def build(config, context):
    yield ScriptedProcessor()

@hookimpl
def coda_register_processors():
    return [Component("parrot", "Says hello world, and hello world again.", Config, build)]
"""


def write_stack(folder: Path, processor: str = "echo", manager: str = "offline") -> str:
    (folder / "stack.toml").write_text(
        f'[stack]\nname = "mine"\n[processor]\nuse = "{processor}"\n[streaming_manager]\nuse = "{manager}"\n'
    )
    return "stack.toml"


def read(folder: Path) -> dict[str, Any]:
    transcript: dict[str, Any] = json.loads((folder / "transcript.json").read_text("utf-8"))
    return transcript


def wait_for_a_quarter(process: subprocess.Popen[str]) -> None:
    """Wait until a quarter of the conversation has been had."""
    assert process.stderr is not None
    while "conversation" not in (line := process.stderr.readline()) or "25 %" not in line:
        assert process.poll() is None


def test_recording_holds_its_questions_and_silence() -> None:
    with chosen_caller(None) as caller:
        assert caller.path.stat().st_size < 400_000
        speech, rate = soundfile.read(caller.path)
    assert (rate, len(speech) / rate) == (22_050, LENGTH_S)
    for question in caller.questions:
        begin, end = round(question.start_s * rate), round(question.end_s * rate)
        assert 0.4 < np.abs(speech[begin:end]).max() < 0.6
        # To a hundredth of a second.
        assert np.abs(speech[begin : begin + 220]).any()
        assert np.abs(speech[end - 440 : end]).any()
        speech[begin : end + 220] = 0
    assert not speech.any()
    # The last answer has room.
    assert LENGTH_S - caller.questions[-1].end_s > 5


def test_writes_every_file(run: Run, here: Path) -> None:
    told = run("demo", "--stack", write_stack(here))
    assert told.code == 0
    folder = here / "coda-demo"
    assert sorted(each.name for each in folder.iterdir()) == sorted(FILES)
    for name in FILES:
        assert f"coda-demo/{name}" in told.out
    assert soundfile.info(folder / "reply.wav").frames == FRAMES * 1920
    both, rate = soundfile.read(folder / "conversation.wav")
    reply, _ = soundfile.read(folder / "reply.wav")
    assert (both.shape, rate) == ((FRAMES * 1920, 2), 24_000)
    assert np.array_equal(both[:, 1], reply)
    # The echo is the caller, a frame later.
    assert np.array_equal(both[1920:, 1], both[:-1920, 0])


def test_tells_progress_apart_from_the_result(run: Run, here: Path) -> None:
    told = run("demo", "--stack", write_stack(here))
    assert told.err.splitlines()[:2] == ["starting", "starting: 100 %"]
    assert told.err.splitlines()[2:] == [
        f"conversation ({LENGTH_S} s of audio): {done} %" for done in (0, 25, 50, 75, 100)
    ]
    assert told.out.startswith(f'{FRAMES * 0.08:.2f} s of conversation, answered by the processor "echo".\n')
    assert "times as fast as real time" in told.out
    for row in ("encode", "model", "decode", "whole step"):
        assert f"\n{row} " in told.out
    assert "random" not in told.out


def test_words_and_their_times(run: Run, here: Path, spoken: Path, install: Install) -> None:
    install("parrot", PARROT)
    told = run("demo", "--stack", write_stack(here, "parrot"), "--input", spoken.name, "--output", "out")
    assert told.code == 0
    assert "8 words: hello world hello world hello world hello world\n" in told.out
    transcript = read(here / "out")
    words = transcript.pop("words")
    assert [word["text"] for word in words] == ["hello", "world"] * 4
    assert [word["start_s"] for word in words] == [round(2 * 0.08 * index, 3) for index in range(8)]
    assert [word["end_s"] for word in words] == [round(word["start_s"] + 0.08, 3) for word in words]
    assert {word["speaker"] for word in words} == {"moshi"}
    assert {word["confidence"] for word in words} == {0.5}
    assert set(words[0]) == {"text", "start_s", "end_s", "confidence", "speaker", "injected"}
    assert transcript.pop("conversation")
    assert transcript.pop("fingerprint") == "scripted-(1, 3, 2, 3)"
    assert transcript == {
        "version": 1,
        "stack": "mine",
        "processor": "parrot",
        "complete": True,
        "duration_s": 1.28,
        "caller": [],
    }


def test_json(run: Run, here: Path, spoken: Path, install: Install) -> None:
    install("parrot", PARROT)
    told = run("demo", "--stack", write_stack(here, "parrot"), "--input", spoken.name, "--output", "out", "--json")
    summary = json.loads(told.out)
    assert summary["outcome"] == "finished"
    assert (summary["frames"], summary["audio_s"], summary["dropped_frames"]) == (16, 1.28, 0)
    assert summary["input_s"] == pytest.approx(15.5 * 0.08)
    assert 1.28 / summary["speed"] == pytest.approx(summary["took_s"], abs=0.002)
    assert summary["random_checkpoint"] is False
    assert set(summary["latency_ms"]) == {"encode", "model", "decode", "step"}
    assert set(summary["latency_ms"]["model"]) == {"median", "p95", "p99"}
    assert (summary["said"], summary["caller"]) == (None, [])
    assert summary["words"] == read(here / "out")["words"]
    assert summary["files"] == {name: str(here / "out" / name) for name in FILES}


def test_again_into_the_same_folder(run: Run, here: Path, spoken: Path) -> None:
    stack = write_stack(here)
    assert run("demo", "--stack", stack).code == 0
    first = read(here / "coda-demo")
    assert run("demo", "--stack", stack, "--input", spoken.name).code == 0
    second = read(here / "coda-demo")
    assert first["conversation"] != second["conversation"]
    assert (first["duration_s"], second["duration_s"]) == (FRAMES * 0.08, 1.28)
    assert soundfile.info(here / "coda-demo" / "reply.wav").frames == 16 * 1920
    assert sorted(each.name for each in (here / "coda-demo").iterdir()) == sorted(FILES)


def test_source_and_transport_of_a_stack_are_left_out(run: Run, echo_stack: Path, here: Path) -> None:
    assert run("demo", "--stack", echo_stack.name).code == 0
    assert read(here / "coda-demo")["duration_s"] == FRAMES * 0.08
    assert not (here / "reply.wav").exists()
    assert not (here / "conversations.db").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_in_the_middle(start: Start, here: Path, spoken: Path, number: signal.Signals, code: int) -> None:
    soundfile.write(spoken, np.full(75 * 1920, 0.25), 24_000)
    process = start("demo", "--stack", write_stack(here, manager="realtime"), "--input", spoken.name, "--json")
    wait_for_a_quarter(process)
    process.send_signal(number)
    out, err = process.communicate()
    assert (process.returncode, err) == (code, "")
    summary = json.loads(out)
    frames = summary["frames"]
    assert summary["outcome"] == "interrupted"
    assert 18 < frames < 75
    folder = here / "coda-demo"
    assert sorted(each.name for each in folder.iterdir()) == sorted(FILES)
    assert soundfile.info(folder / "reply.wav").frames == frames * 1920
    assert soundfile.info(folder / "conversation.wav").frames == frames * 1920
    transcript = read(folder)
    assert (transcript["complete"], transcript["duration_s"]) == (False, round(frames * 0.08, 3))


def test_stopped_in_the_middle_says_so(start: Start, here: Path, spoken: Path) -> None:
    soundfile.write(spoken, np.full(75 * 1920, 0.25), 24_000)
    process = start("demo", "--stack", write_stack(here, manager="realtime"), "--input", spoken.name)
    wait_for_a_quarter(process)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate()
    assert out.startswith("Stopped after ")
    assert "what was recorded until then is kept" in out
    assert "coda-demo/transcript.json" in out


SLOW = (
    PARROT.replace("parrot", "slow")
    .replace(
        "    yield ScriptedProcessor()",
        "    context.progress('reading weights', 0, 1)\n    sys.stdin.read()\n    yield ScriptedProcessor()",
    )
    .replace("import attrs", "import sys, attrs")
)


def test_stopped_while_the_model_is_loading(start: Start, here: Path, install: Install) -> None:
    install("slow", SLOW)
    process = start("demo", "--stack", write_stack(here, "slow"))
    assert process.stderr is not None
    while process.stderr.readline() != "reading weights: 0 %\n":
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    # What runs on a thread cannot be broken off: the model is loaded, and then thrown away.
    out, err = process.communicate(input="")
    assert (process.returncode, out, err) == (130, "", "")
    assert [each.name for each in here.iterdir()] == ["stack.toml"]


def test_second_ctrl_c_waits_for_nothing(start: Start, here: Path, install: Install) -> None:
    install("slow", SLOW)
    process = start("demo", "--stack", write_stack(here, "slow"))
    assert process.stderr is not None
    while process.stderr.readline() != "reading weights: 0 %\n":
        assert process.poll() is None
    # Two signals of one kind may become one: the second is sent until it was taken.
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
    assert process.returncode == 130
    assert "stopped without waiting" in process.stderr.read()


def test_folder_is_not_left_behind_where_nothing_began(run: Run, here: Path) -> None:
    stack = write_stack(here)
    assert run("demo", "--stack", stack, "--input", "missing.wav", "--output", "a/b/c").code == 2
    assert [each.name for each in here.iterdir()] == [stack]


def test_earlier_files_stay_where_nothing_began(run: Run, here: Path) -> None:
    stack = write_stack(here)
    run("demo", "--stack", stack)
    before = {each.name: each.read_bytes() for each in (here / "coda-demo").iterdir()}
    assert run("demo", "--stack", stack, "--input", "missing.wav").code == 2
    assert {each.name: each.read_bytes() for each in (here / "coda-demo").iterdir()} == before


def test_without_the_extra_says_what_to_install(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "coda_core.plugins.registry.missing_modules", lambda requires: requires.modules if requires else ()
    )
    told = run("demo")
    assert told.code == 2
    assert "pip install 'coda-core[moshi]'" in told.err
    assert told.err.count("\n") == 1
    assert list(here.iterdir()) == []


def test_the_random_checkpoint_says_that_it_is(run: Run, here: Path, spoken: Path) -> None:
    (here / "stack.toml").write_text('[processor]\nuse = "moshi"\nmodel_path = "tiny"\nseed = 1\n')
    told = run("demo", "--stack", "stack.toml", "--input", spoken.name)
    assert told.code == 0
    assert 'The checkpoint "tiny" has random weights' in told.out


def test_a_turn_ends_where_the_other_begins_or_after_a_pause(run: Run, here: Path, install: Install) -> None:
    install("parrot", PARROT)
    told = run("demo", "--stack", write_stack(here, "parrot"))
    rows = [line.split() for line in told.out.splitlines() if " caller  " in line or " moshi  " in line]
    assert [row[2] for row in rows] == ["moshi", "caller"] * 3 + ["moshi"]
    assert rows[1] == ["0.5", "s", "caller", "hello", "coda"]
    assert rows[2][3:5] == ["hello", "world"]


@pytest.mark.parametrize(
    ("processor", "text", "said"),
    [("echo", "hello", 'the processor "echo" cannot be made to say a text'), ("parrot", " ", "the text is blank")],
)
def test_what_cannot_be_said(run: Run, here: Path, install: Install, processor: str, text: str, said: str) -> None:
    install("parrot", PARROT)
    told = run("demo", "--stack", write_stack(here, processor), "--say", text)
    assert told.code == 2
    assert said in told.err
    assert sorted(each.name for each in here.iterdir()) == ["stack.toml"]
