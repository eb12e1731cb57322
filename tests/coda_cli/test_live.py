from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from coda_core.audio import AudioFrame
from coda_core.cli.live import live
from coda_core.cli.live.picture import Picture
from coda_core.cli.live.watch import SILENT_DBFS, View, Watch
from coda_core.cli.terminal import Terminal
from coda_core.config import Stack
from coda_core.kernel import Kernel
from coda_core.sound import DeviceMeasured, Direction
from coda_core.text import ExtractedText
from coda_moshi.config import EchoConfig
from coda_streaming.config import OfflineConfig

FRAME = 1_920


def word(text: str, **of: Any) -> ExtractedText:
    return ExtractedText(text=text, start_s=0.0, end_s=0.1, confidence=0.9, **of)


def frame(index: int, heard: float, spoken: float) -> AudioFrame:
    def level(value: float) -> Any:
        return np.full(FRAME, value, np.float32)

    return AudioFrame(conversation="c", frame=index, pcm=level(spoken), heard=level(heard))


def device(direction: Direction, **of: Any) -> DeviceMeasured:
    return DeviceMeasured(
        **{"direction": direction, "device": "Headset", "connected": True, "latency_s": 0.12, "xruns": 0, **of}
    )


@asynccontextmanager
async def watched(conversations: int = 0) -> AsyncIterator[tuple[Kernel, Watch]]:
    stack = Stack(processor=EchoConfig(delay_frames=0, conversations=64), streaming_manager=OfflineConfig())
    async with Kernel(stack) as kernel:
        watch = Watch(kernel)
        following = asyncio.create_task(watch.follow())
        yield kernel, watch
        following.cancel()
        await asyncio.wait([following])


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - a picture is looked at, and wakes nobody
        await asyncio.sleep(0)


def drawn(watch: Watch, width: int = 100, encoding: str = "utf-8") -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, width=width, force_terminal=False)
    console.print(Picture(watch))
    file.flush()
    file.seek(0)
    return [line.rstrip() for line in file.read().splitlines()]


def test_levels_rise_at_once_and_fall_slowly() -> None:
    view = View("c")
    view.take(frame(0, heard=0.5, spoken=0.0))
    assert view.heard_dbfs == pytest.approx(-6.02, abs=0.01)
    assert view.spoken_dbfs == SILENT_DBFS
    view.take(frame(1, heard=0.0, spoken=1.0))
    assert view.heard_dbfs == pytest.approx(-9.02, abs=0.01)
    assert view.spoken_dbfs == pytest.approx(0, abs=1e-6)
    assert view.frames == 2


def test_words_are_those_of_moshi_and_of_one_extractor_and_harmless() -> None:
    view = View("c")
    view.take(word("Hello", extractor="a"))
    view.take(word("Hello", extractor="b"))
    view.take(word("What?", extractor="a", speaker="user"))
    view.take(word("th\x1bere", extractor="a"))
    assert view.words == "Hello th\N{REPLACEMENT CHARACTER}ere"
    for _ in range(1_000):
        view.take(word("and", extractor="a"))
    assert len(view.words) <= 400


async def test_follows_conversations_as_they_come_and_go() -> None:
    async with watched() as (kernel, watch):
        assert drawn(watch) == ["no conversation; Ctrl-C ends it"]
        async with kernel.open_conversation(user_id="ada") as conversation:
            await until(lambda: watch.views)
            await conversation.send(np.full(5 * FRAME, 0.5, np.float32))
            await conversation.drain()
            (view,) = watch.views.values()
            await until(lambda: view.frames == 5)
            assert (view.user_id, round(view.heard_dbfs), round(view.spoken_dbfs)) == ("ada", -6, -6)
        await until(lambda: not watch.views)


async def test_a_conversation_that_was_there_before_is_followed() -> None:
    stack = Stack(processor=EchoConfig(delay_frames=0), streaming_manager=OfflineConfig())
    async with Kernel(stack) as kernel, kernel.open_conversation():
        watch = Watch(kernel)
        following = asyncio.create_task(watch.follow())
        await until(lambda: watch.views)
        following.cancel()
        await asyncio.wait([following])


async def test_line_of_one_conversation() -> None:
    async with watched() as (kernel, watch), kernel.open_conversation():
        await until(lambda: watch.views)
        (view,) = watch.views.values()
        view.take(frame(0, heard=1.0, spoken=0.0))
        view.take(word("Good"))
        view.take(word("morning"))
        watch.devices["output"] = device("output")
        watch.devices["input"] = device("input", latency_s=0.04)
        meters, words = drawn(watch)
        assert meters.startswith("you ██████████ Moshi             mic 40 ms  speaker 120 ms")
        assert words == "Good morning"
        watch.devices["output"] = device("output", xruns=2, underruns=1, dropped_s=0.5)
        watch.devices["input"] = device("input", connected=False)
        assert "mic gone  speaker 120 ms, 4 glitches" in drawn(watch)[0]
        assert drawn(watch, encoding="ascii")[0].startswith("you ########## Moshi ")
        assert len(drawn(watch, width=30)[0]) <= 30
        assert len(drawn(watch, width=30)) == 2


async def test_table_of_many() -> None:
    async with watched() as (kernel, watch):
        opened = [kernel.open_conversation(user_id=f"caller {number}") for number in range(25)]
        for each in opened:
            await each.__aenter__()
        await until(lambda: len(watch.views) == 25)
        for view in watch.views.values():
            view.take(frame(749, heard=0.1, spoken=0.0))
            view.take(word("Hello"))
        lines = drawn(watch)
        assert lines[0].startswith("25 of 64 conversations  load")
        assert lines[1].split() == ["who", "in", "Moshi", "time", "late", "ms", "drops", "words"]
        assert "caller 0" in lines[3]
        assert "1:00" in lines[3]
        assert lines[3].endswith("Hello")
        assert lines[-1].strip() == "and 5 more"
        for each in opened:
            await each.__aexit__(None, None, None)


async def test_in_a_pipe_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    stack = Stack(processor=EchoConfig(), streaming_manager=OfflineConfig())
    async with Kernel(stack) as kernel, live(Terminal(), kernel), kernel.open_conversation() as conversation:
        await conversation.send(np.zeros(FRAME, np.float32))
        await conversation.drain()
    assert capsys.readouterr() == ("", "")


async def test_on_a_terminal_the_picture_is_there_while_it_runs_and_then_gone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    stack = Stack(processor=EchoConfig(), streaming_manager=OfflineConfig())
    async with Kernel(stack) as kernel, live(Terminal(), kernel):
        pass
    out, err = capsys.readouterr()
    assert out == ""
    assert "no conversation" in err
    assert err.endswith("\x1b[2K"), "the line is erased at the end"
