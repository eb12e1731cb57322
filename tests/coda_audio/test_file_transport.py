from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
import soundfile

from coda_audio.config import FileTransportConfig
from coda_audio.file_transport import open_file_transport
from coda_core.audio import AudioFrame
from coda_core.errors import AudioError, ConversationBroken
from coda_core.interfaces import Context
from coda_core.subscription import Overflow, Subscription

if TYPE_CHECKING:
    from coda_core.kernel import Kernel

_SAMPLES = 1920


class _Local:
    """A kernel whose local conversation says what a test tells it to."""

    def __init__(self) -> None:
        self.subscription: Subscription[AudioFrame] | None = None

    async def local(self) -> _Local:
        return self

    def subscribe(self, kind: type[AudioFrame], *, size: int, overflow: Overflow) -> Subscription[AudioFrame]:
        self.subscription = Subscription((kind,), size=size, overflow=overflow)
        return self.subscription

    def say(self, first: int, last: int) -> None:
        assert self.subscription is not None
        for index in range(first, last + 1):
            pcm = np.full(_SAMPLES, (index % 100) / 128, np.float32)
            self.subscription.put(AudioFrame(conversation="c", frame=index, pcm=pcm, heard=-pcm))

    def end(self, error: Exception | None = None) -> None:
        assert self.subscription is not None
        self.subscription.end(error)


def _record(
    config: FileTransportConfig, context: Context, play: Callable[[_Local, asyncio.Task[None]], Awaitable[None]]
) -> BaseException | None:
    """Run a transport; `play` is called when it is ready. Return what its run ended with."""

    async def run() -> BaseException | None:
        kernel = _Local()
        ready = asyncio.Event()
        async with open_file_transport(config, context) as transport:
            running = asyncio.create_task(transport.run(cast("Kernel", kernel), ready.set))
            await ready.wait()
            await play(kernel, running)
            (outcome,) = await asyncio.gather(running, return_exceptions=True)
            return outcome

    return asyncio.run(run())


def _heard(path: Path) -> list[int]:
    samples, _ = soundfile.read(path, dtype="float32")
    return [round(float(value) * 128) for value in samples[::_SAMPLES]]


def test_records_the_conversation_to_its_end(tmp_path: Path, context: Context) -> None:
    async def play(kernel: _Local, running: asyncio.Task[None]) -> None:
        kernel.say(0, 99)
        kernel.end()

    config = FileTransportConfig(path=Path("reply.wav"), stereo_path=Path("both.wav"))
    assert _record(config, context, play) is None
    assert _heard(tmp_path / "reply.wav") == list(range(100))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["both.wav", "reply.wav"]


def test_what_was_said_until_it_is_cancelled_is_there(tmp_path: Path, context: Context) -> None:
    async def play(kernel: _Local, running: asyncio.Task[None]) -> None:
        kernel.say(0, 30)
        await asyncio.sleep(0)
        kernel.say(31, 40)
        running.cancel()

    outcome = _record(FileTransportConfig(path=Path("reply.wav")), context, play)
    assert isinstance(outcome, asyncio.CancelledError)
    assert _heard(tmp_path / "reply.wav") == list(range(41))
    assert [path.name for path in tmp_path.iterdir()] == ["reply.wav"]


@pytest.mark.parametrize("turns", range(8))
def test_no_moment_to_be_cancelled_makes_a_hole(tmp_path: Path, context: Context, turns: int) -> None:
    async def play(kernel: _Local, running: asyncio.Task[None]) -> None:
        kernel.say(0, 59)
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()

    _record(FileTransportConfig(path=Path("reply.wav")), context, play)
    assert _heard(tmp_path / "reply.wav") == list(range(60))


def test_a_conversation_that_breaks_leaves_its_recording_and_its_error(tmp_path: Path, context: Context) -> None:
    async def play(kernel: _Local, running: asyncio.Task[None]) -> None:
        kernel.say(0, 4)
        kernel.end(ConversationBroken("the model failed"))

    outcome = _record(FileTransportConfig(path=Path("reply.wav")), context, play)
    assert isinstance(outcome, ConversationBroken)
    assert _heard(tmp_path / "reply.wav") == list(range(5))


def test_frames_that_were_lost_are_silence_and_said(
    tmp_path: Path, context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    async def play(kernel: _Local, running: asyncio.Task[None]) -> None:
        kernel.say(1, 1124)
        kernel.end()

    assert _record(FileTransportConfig(path=Path("reply.wav")), context, play) is None
    assert _heard(tmp_path / "reply.wav") == [0] * 101 + [index % 100 for index in range(101, 1125)]
    assert "100 frames are silence" in caplog.text


def test_where_nothing_was_said_there_is_no_file(tmp_path: Path, context: Context) -> None:
    (tmp_path / "reply.wav").write_bytes(b"precious")

    async def play(kernel: _Local, running: asyncio.Task[None]) -> None:
        running.cancel()

    _record(FileTransportConfig(path=Path("reply.wav"), stereo_path=Path("both.wav")), context, play)
    assert [path.name for path in tmp_path.iterdir()] == ["reply.wav"]
    assert (tmp_path / "reply.wav").read_bytes() == b"precious"


def test_a_kernel_that_does_not_start_leaves_nothing_behind(tmp_path: Path, context: Context) -> None:
    async def run() -> None:
        async with open_file_transport(FileTransportConfig(path=Path("reply.wav")), context):
            raise RuntimeError("another component failed")

    with pytest.raises(RuntimeError):
        asyncio.run(run())
    assert list(tmp_path.iterdir()) == []


def test_unwritable_files_are_refused_before_anything_runs(tmp_path: Path, context: Context) -> None:
    async def run() -> None:
        async with open_file_transport(FileTransportConfig(path=Path("missing/reply.wav")), context):
            raise AssertionError("entered")

    with pytest.raises(AudioError, match="create it first"):
        asyncio.run(run())
