"""Recorded conversations, run again."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from numpy.typing import NDArray

from coda_core import Injection, Interrupted, Kernel, Opened, Parked, Stack, Unparked
from coda_core.audio import to_int16
from coda_core.cli import coda
from coda_core.cli.conversations.describing import latency_of
from coda_core.cli.conversations.reading import Story
from coda_core.cli.conversations.script import script_of
from coda_core.events import Event, Fault, Saved, Withdrawn
from coda_core.interfaces import ConversationRow
from coda_core.recording import ROWS, Recording
from coda_core.state import Snapshot
from coda_moshi.config import EchoConfig, MoshiConfig
from coda_state.config import ConversationManagerConfig, SqliteStoreConfig
from coda_streaming.config import OfflineConfig

Coda = Callable[..., tuple[int, str, str]]
FRAME = 1_920
FRAMES = 60


def caller() -> NDArray[np.float32]:
    return np.random.default_rng(3).uniform(-0.3, 0.3, FRAMES * FRAME).astype(np.float32)


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A database with a recorded conversation of the tiny Moshi, in a batch of two, and one that is not recorded."""
    folder = tmp_path_factory.mktemp("talks")
    stack = Stack(
        base_dir=folder,
        processor=MoshiConfig(model_path="tiny", conversations=2),
        streaming_manager=OfflineConfig(speech_threshold_dbfs=-50.0),
        state_manager=ConversationManagerConfig(record_audio=True),
        state_store=SqliteStoreConfig(),
    )

    async def talk() -> None:
        async with Kernel(stack, cache_dir=cache) as kernel:
            async with kernel.open_conversation(seed=4, user_id="ada") as conversation:
                assert conversation.recorded
                pieces = np.split(caller(), [10 * FRAME, 20 * FRAME, 25 * FRAME, 40 * FRAME])
                await conversation.send(pieces[0])
                await conversation.drain()
                await conversation.say("good morning", deadline_s=0.4)
                await conversation.send(pieces[1])
                await conversation.drain()
                unwanted = await conversation.say("good evening my friend", deadline_s=2.0, expires_s=3.0, yields=True)
                await conversation.send(pieces[2])
                await conversation.drain()
                unwanted.cancel()
                await conversation.send(pieces[3])
                await conversation.drain()
                await conversation.interrupt(for_s=0.8)
                await conversation.send(pieces[4])
                await conversation.drain()
            async with kernel.open_conversation(user_id="bob", record=False) as conversation:
                assert not conversation.recorded

    asyncio.run(talk())
    return folder / "conversations.db"


@pytest.fixture
def run(talks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Coda:
    monkeypatch.chdir(tmp_path)

    def run(command: str, id: str, *arguments: str) -> tuple[int, str, str]:
        line = ["conversations", command, id, "--database", str(talks), *arguments]
        done = CliRunner().invoke(coda, line, catch_exceptions=False)
        return done.exit_code, done.stdout, done.stderr

    return run


@pytest.fixture
def recorded(talks: Path) -> str:
    return id_of(talks, "ada")


def id_of(database: Path, user: str) -> str:
    line = ["conversations", "list", "--user", user, "--json", "--database", str(database)]
    found: str = json.loads(CliRunner().invoke(coda, line).stdout)["conversations"][0]["conversation"]
    return found


def test_the_same_again(run: Coda, recorded: str) -> None:
    code, out, _ = run("replay", recorded)
    assert code == 0
    assert out.splitlines() == [
        "replayed 60 of 60 frames (4.80 s), seed 4, batch size 2",
        "tokens: the same",
        "voice: the same",
    ]


def test_other_settings_side_by_side(run: Coda, recorded: str) -> None:
    code, out, _ = run("replay", recorded, "--set", "processor.text_temperature=0", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["changed"] == {"text_temperature": {"recorded": 0.7, "replayed": 0.0}}
    assert not told["tokens_same"]
    first = told["first_difference"]
    assert first["recorded"]["token"] != first["replayed"]["token"]
    assert told["recorded_words"] != told["replayed_words"]
    assert told["compared_frames"] == 60


def test_another_processor(run: Coda, recorded: str, tmp_path: Path) -> None:
    other = tmp_path / "echo.toml"
    other.write_text('[processor]\nuse = "echo"\n')
    code, _, err = run("replay", recorded, "--with", str(other))
    # What was asked for then, it cannot do.
    assert code == 2
    assert 'the processor "echo" cannot speak a text' in err


def test_what_was_not_recorded_cannot_be_run_again(run: Coda, talks: Path) -> None:
    other = id_of(talks, "bob")
    for command in ("replay", "export"):
        arguments = ("--format", "wav", "--output", "both.wav") if command == "export" else ()
        code, out, err = run(command, other, *arguments)
        assert (code, out) == (2, "")
        assert "was not recorded" in err
        assert "record_audio = true" in err


@pytest.mark.parametrize("format", ["wav", "flac"])
def test_both_voices_as_audio(run: Coda, recorded: str, tmp_path: Path, format: str) -> None:
    code, _, err = run("export", recorded, "--format", format)
    assert (code, "name a file" in err) == (2, True)
    assert run("export", recorded, "--format", format, "--output", "both") == (0, "", "")
    both, rate = soundfile.read(io.BytesIO((tmp_path / "both").read_bytes()), dtype="int16")
    assert (rate, both.shape) == (24_000, (FRAMES * FRAME, 2))
    np.testing.assert_array_equal(both[:, 0], to_int16(caller()))
    assert both[:, 1].any()


def test_the_page_has_both_voices_and_json_says_what_there_is(run: Coda, recorded: str) -> None:
    _, page, _ = run("export", recorded, "--format", "html")
    assert "data:audio/flac;base64," in page
    told = json.loads(run("export", recorded, "--format", "json")[1])
    assert told["recording"] == {"frames": 60, "seconds": 4.8, "missing_frames": 0, "sample_rate_hz": 24_000}
    # Nothing was due in real time.
    assert told["latency_ms"] == []


# What is to be run again


def recording(frames: int, *missing: int) -> Recording:
    rows = np.zeros(frames, ROWS)
    rows["seen"] = True
    rows["seen"][list(missing)] = False
    return Recording(sample_rate_hz=24_000, rows=rows, pcm=np.zeros((frames, 2, 2), np.int16))


def stretches(events: list[Event], whole: Recording) -> list[tuple[int, int, list[int]]]:
    script = script_of(events, whole)
    return [(each.first, each.end, [order.sequence for order in each.orders]) for each in script.stretches]


def test_a_fresh_start_is_a_stretch_of_its_own() -> None:
    events: list[Event] = [
        Injection(sequence=1, frame=3, command=1),
        Fault(sequence=2, frame=6),
        Fault(sequence=3, frame=10, restarted=True),
        Withdrawn(sequence=4, frame=12, command=1),
        Interrupted(sequence=5, frame=12),
    ]
    assert stretches(events, recording(20, 9)) == [(0, 9, [1]), (10, 20, [4, 5])]
    assert script_of(events, recording(20, 9)).missing is None


def test_nothing_is_run_behind_a_frame_that_is_missing() -> None:
    events: list[Event] = [Injection(sequence=1, frame=3, command=1), Fault(sequence=2, frame=10, restarted=True)]
    assert stretches(events, recording(20, 2, 9)) == [(0, 2, [])]
    assert script_of(events, recording(20, 2, 9)).missing == 2
    assert stretches([], recording(20, 0)) == []


def test_what_a_kill_undid_is_not_done_again() -> None:
    events: list[Event] = [
        Injection(sequence=1, frame=3, command=1),
        Injection(sequence=2, frame=8, command=2),
        Saved(sequence=3, frame=8),
        Interrupted(sequence=4, frame=8),
        Interrupted(sequence=5, frame=11),
        Parked(sequence=6, frame=8, reason="interrupted"),
        Unparked(sequence=7, frame=8),
        Interrupted(sequence=8, frame=9),
        Parked(sequence=9, frame=12),
        Unparked(sequence=10, frame=12),
    ]
    assert stretches(events, recording(20)) == [(0, 20, [1, 2, 8])]


async def test_who_cannot_record_is_not_asked_to(tmp_path: Path) -> None:
    from coda_core import Incapable

    async with Kernel(Stack(base_dir=tmp_path, processor=EchoConfig(), streaming_manager=OfflineConfig())) as kernel:
        manager = kernel._parts.state_manager
        del manager.records  # type: ignore[attr-defined]
        with pytest.raises(Incapable, match="state manager cannot record"):
            async with kernel.open_conversation(record=True):
                raise AssertionError("it was opened")
        async with kernel.open_conversation() as conversation:
            assert not conversation.recorded


def test_latency_is_that_of_snapshots_or_of_every_recorded_frame() -> None:
    def story(*, realtime: bool | None) -> Story:
        events = (
            Opened(sequence=1, realtime=realtime),
            Snapshot(sequence=2, lateness_s=((0, -0.02), (12, 0.1))),
            Snapshot(sequence=3, lateness_s=((24, 0.0),)),
        )
        row = ConversationRow(conversation="a", opened_s=0.0, closed_s=None, user_id=None, events=3, last_sequence=3)
        return Story(row=row, events=events, passages=())

    told = latency_of(story(realtime=True), None)
    np.testing.assert_allclose(told, [(0, 60), (0.96, 180), (1.92, 80)])
    whole = recording(3, 1)
    assert [at_s for at_s, _ in latency_of(story(realtime=True), whole)] == [0, 2 * whole.frame_s]
    assert latency_of(story(realtime=False), whole) == []
