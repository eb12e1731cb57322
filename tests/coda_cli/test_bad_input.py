"""What users get wrong, as the command line shows it: one message, exit 2, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

Run = Callable[..., Any]
Install = Callable[[str, str], None]

BAD_STACKS = {
    "no TOML": ("[processor\nuse =", ["line 1", "is not TOML"]),
    "not UTF-8": ("[stack]\nname = '\udcff'", ["line 2 is not UTF-8"]),
    "unknown table": (
        '[processors]\nuse = "echo"',
        ["processors: there is no such table", 'Did you mean "processor"?'],
    ),
    "unknown key": (
        '[processor]\nuse = "echo"\ndelay_frame = 3',
        ["processor.delay_frame", 'Did you mean "delay_frames"?'],
    ),
    "wrong type": (
        '[processor]\nuse = "echo"\ndelay_frames = "3"',
        ['processor.delay_frames: found "3" (a string); expected an integer', "Write it without quotes: 3."],
    ),
    "out of bounds": ('[processor]\nuse = "echo"\ndelay_frames = -1', ["processor.delay_frames", "-1 is too small"]),
    "missing variable": (
        '[processor]\nuse = "${CODA_NO_SUCH_VARIABLE}"',
        ["processor.use: the environment variable CODA_NO_SUCH_VARIABLE is not set"],
    ),
    "unknown component": (
        '[processor]\nuse = "ecko"',
        ['there is no processor called "ecko"', 'Did you mean "echo"?'],
    ),
    "component of another kind": ('[processor]\nuse = "sqlite"', ['"sqlite" is a state store (table [state_store])']),
}

PLUGIN = """
import attrs
from contextlib import contextmanager
from coda_core.hookspecs import hookimpl
from coda_core.interfaces import Component
CODA_CONTRACT = 1

@attrs.frozen
class Config:
    pass

@contextmanager
def build(config, context):
    raise RuntimeError("no more screws")
    yield

@hookimpl
def coda_register_HOOK():
    return [Component("deaf", "Hears nothing.", Config, build)]
"""
TRANSPORT = PLUGIN.replace("HOOK", "transports")
PROCESSOR = PLUGIN.replace("HOOK", "processors")


def refused(told: Any) -> str:
    """Return the one message of a command that refused its input."""
    message: str = told.err
    assert told.code == 2
    assert told.out == ""
    assert message.count("coda: error: ") == 1
    assert "Traceback" not in message
    return message


def names(folder: Path) -> set[str]:
    return {each.name for each in folder.rglob("*")}


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(("text", "said"), BAD_STACKS.values(), ids=BAD_STACKS)
def test_bad_stack(run: Run, here: Path, command: str, text: str, said: list[str]) -> None:
    (here / "stack.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    message = refused(run(command, "stack.toml"))
    assert "stack.toml" in message
    assert [each for each in said if each not in message] == []
    assert names(here) == {"stack.toml"}


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("processor.delay_frames", "expected KEY=VALUE"),
        ("processor.delay_frames=many", 'found "many" (a string); expected an integer'),
        ("processor.pitch=2", "pitch"),
        ("processors.use=echo", "processors: there is no such table"),
    ],
)
def test_bad_override(run: Run, echo_stack: Path, here: Path, command: str, override: str, said: str) -> None:
    before = names(here)
    assert said in refused(run(command, "echo.toml", "--set", override))
    assert names(here) == before


@pytest.mark.parametrize("arguments", [["check"], ["run"], ["demo", "--stack"]])
@pytest.mark.parametrize(("path", "said"), [("none.toml", "there is no such file"), ("folder", "this is a folder")])
def test_stack_that_is_no_file(run: Run, here: Path, arguments: list[str], path: str, said: str) -> None:
    (here / "folder").mkdir()
    assert said in refused(run(*arguments, path))
    assert names(here) == {"folder"}


def test_stack_with_nothing_to_run(run: Run, here: Path) -> None:
    (here / "stack.toml").write_text('[processor]\nuse = "echo"\n[state_store]\nuse = "sqlite"')
    assert "has no audio_source and no transport" in refused(run("run", "stack.toml"))
    assert names(here) == {"stack.toml"}


def deaf_stack(stack: Path) -> None:
    stack.write_text(stack.read_text() + '\n[[transport]]\nuse = "deaf"\n')


@pytest.mark.parametrize("command", ["check", "run"])
def test_two_plugins_with_one_name(run: Run, echo_stack: Path, install: Install, command: str) -> None:
    install("mute", TRANSPORT)
    install("silent", TRANSPORT)
    deaf_stack(echo_stack)
    message = refused(run(command, "echo.toml"))
    assert '"mute" of mute 1.5 and "silent" of silent 1.5' in message
    assert "Disable all but one of them" in message


@pytest.mark.parametrize("command", ["check", "run"])
def test_plugin_that_fails_to_import(run: Run, echo_stack: Path, install: Install, command: str) -> None:
    install("mute", "import no_such_module_here")
    deaf_stack(echo_stack)
    message = refused(run(command, "echo.toml"))
    assert 'there is no transport called "deaf"' in message
    assert "No module named 'no_such_module_here'" in message


def test_plugin_that_fails_to_import_and_is_not_used(run: Run, echo_stack: Path, install: Install) -> None:
    install("mute", "import no_such_module_here")
    told = run("run", "echo.toml")
    assert told.code == 0
    assert 'coda: warning: plugin "mute" of mute 1.5 is left out' in told.err


def test_transport_that_fails_to_build(run: Run, echo_stack: Path, install: Install) -> None:
    install("mute", TRANSPORT)
    deaf_stack(echo_stack)
    message = refused(run("run", "echo.toml"))
    assert 'the transport "deaf" of plugin "mute" of mute 1.5 failed to start: RuntimeError: no more screws' in message


def test_processor_that_fails_to_build(run: Run, echo_stack: Path, here: Path, install: Install) -> None:
    install("mute", PROCESSOR)
    message = refused(run("run", "echo.toml", "--set", "processor.use=deaf"))
    assert 'the processor "deaf" of plugin "mute" of mute 1.5 failed to start: RuntimeError: no more screws' in message
    assert "reply.wav" not in names(here)


def write_empty(path: Path) -> None:
    path.write_bytes(b"")


def write_text(path: Path) -> None:
    path.write_text("This is no audio at all.\n" * 100)


def write_no_samples(path: Path) -> None:
    soundfile.write(path, np.zeros(0), 24_000)


def write_folder(path: Path) -> None:
    path.mkdir()


def write_nothing(path: Path) -> None:
    assert not path.exists()


UNREADABLE = {
    "missing": (write_nothing, "does not exist"),
    "folder": (write_folder, "is a folder"),
    "empty": (write_empty, "is empty"),
    "not audio": (write_text, "is not audio that can be read"),
    "length 0": (write_no_samples, "its length is 0"),
}


@pytest.mark.parametrize(("write", "said"), UNREADABLE.values(), ids=UNREADABLE)
def test_audio_that_cannot_be_read(
    run: Run, echo_stack: Path, spoken: Path, here: Path, write: Callable[[Path], None], said: str
) -> None:
    spoken.unlink()
    write(spoken)
    before = names(here)
    assert said in refused(run("run", "echo.toml"))
    assert said in refused(run("demo", "--stack", "echo.toml", "--input", spoken.name))
    assert names(here) == before


def pcm(samples: int, channels: int = 1) -> Any:
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(samples) / 24_000)
    return np.tile(tone[:, None], (1, channels))


def write_8_bit(path: Path) -> None:
    soundfile.write(path, pcm(24_000), 24_000, subtype="PCM_U8")


def write_96_khz(path: Path) -> None:
    soundfile.write(path, pcm(96_000), 96_000)


def write_6_channels(path: Path) -> None:
    soundfile.write(path, pcm(24_000, 6), 24_000)


def write_nan(path: Path) -> None:
    samples = pcm(24_000)
    samples[1000:2000] = np.nan
    soundfile.write(path, samples, 24_000, subtype="FLOAT")


def write_truncated(path: Path) -> None:
    soundfile.write(path, pcm(48_000), 24_000)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize("write", [write_8_bit, write_96_khz, write_6_channels, write_nan, write_truncated])
def test_unusual_audio_is_answered(
    run: Run, echo_stack: Path, spoken: Path, here: Path, write: Callable[[Path], None]
) -> None:
    write(spoken)
    told = run("run", "echo.toml")
    assert told.code == 0
    assert "Traceback" not in told.err
    # One second, which is not a whole number of frames.
    assert soundfile.info(here / "reply.wav").frames == 13 * 1920
    assert np.isfinite(soundfile.read(here / "reply.wav")[0]).all()


def test_truncated_audio_is_said(run: Run, echo_stack: Path, spoken: Path) -> None:
    write_truncated(spoken)
    assert "coda: warning: " in run("run", "echo.toml").err


@pytest.mark.parametrize("output", ["taken", "taken/below"])
def test_output_that_cannot_be_written(run: Run, echo_stack: Path, here: Path, output: str) -> None:
    (here / "taken").write_text("mine")
    before = names(here)
    message = refused(run("demo", "--stack", "echo.toml", "--output", output))
    assert output in message
    assert "--output" in message
    assert names(here) == before


def test_reply_that_cannot_be_written(run: Run, echo_stack: Path, here: Path) -> None:
    (here / "reply.wav").mkdir()
    assert "reply.wav is a folder" in refused(run("run", "echo.toml"))
    missing = refused(run("run", "echo.toml", "--set", "transport.path=missing/reply.wav"))
    assert "missing does not exist" in missing
    assert [name for name in names(here) if name.endswith(".part")] == []


def write_empty_folder(path: Path) -> None:
    path.mkdir()


def write_damaged_config(path: Path) -> None:
    path.mkdir()
    (path / "config.json").write_text("{")


NO_CHECKPOINTS = {
    "missing": (write_nothing, "does not exist"),
    "empty": (write_empty_folder, "holds no config.json"),
    "damaged": (write_damaged_config, "config.json is not JSON"),
}


@pytest.mark.parametrize(("write", "said"), NO_CHECKPOINTS.values(), ids=NO_CHECKPOINTS)
def test_folder_that_is_no_checkpoint(
    run: Run, echo_stack: Path, here: Path, write: Callable[[Path], None], said: str
) -> None:
    write(here / "checkpoint")
    echo_stack.write_text(echo_stack.read_text().replace('use = "echo"', 'use = "moshi"\nmodel_path = "./checkpoint"'))
    message = refused(run("run", "echo.toml"))
    assert said in message
    assert str(here / "checkpoint") in message
    assert "reply.wav" not in names(here)
