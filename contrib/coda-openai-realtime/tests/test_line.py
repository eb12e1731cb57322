"""A client's audio on its way, with a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import attrs
import numpy as np
import pytest
from coda_core import AudioFormat, Block, Conversation
from coda_core.testing import ManualClock

from coda_openai_realtime.line import Line, Overrun

FORMAT = AudioFormat(sample_type="int16")


@attrs.define
class Heard:
    """What a conversation got: `c` for 80 ms of the client, `.` for as much silence."""

    status: str = "live"
    frame_s: float = 0.08
    sound: str = ""

    @property
    def frames(self) -> int:
        return len(self.sound)

    async def send_block(self, block: Block) -> None:
        assert self.status == "live"
        self.sound += "c" if np.any(block.pcm) else "."

    async def pause(self) -> None:
        self.status = "paused"

    async def resume(self) -> None:
        self.status = "live"


@attrs.define
class Bench:
    clock: ManualClock
    heard: Heard
    line: Line
    wanted: list[bool]

    async def passes(self, seconds: float) -> str:
        """Let time pass; return what was heard meanwhile."""
        before = len(self.heard.sound)
        for _ in range(round(seconds / 0.02)):
            self.clock.advance(0.02)
            for _ in range(12):
                await asyncio.sleep(0)
        return self.heard.sound[before:]

    async def says(self, frames: int) -> None:
        await self.line.take(Block(np.full(1_920 * frames, 1_000, np.int16), FORMAT))


@asynccontextmanager
async def opened(**settings: float) -> AsyncIterator[Bench]:
    clock, heard, wanted = ManualClock(), Heard(), [False]
    line = Line(
        cast(Conversation, cast(Any, heard)),
        clock,
        lambda: wanted[0],
        **{"hold_s": 1.0, "most_s": 10.0, **settings},
    )
    running = asyncio.create_task(line.run())
    try:
        yield Bench(clock, heard, line, wanted)
    finally:
        running.cancel()
        await asyncio.wait([running])
        if not running.cancelled():
            running.result()


async def test_nothing_is_heard_before_the_client_says_something() -> None:
    async with opened() as bench:
        assert await bench.passes(0.5) == ""
        assert bench.heard.status == "live"
        assert await bench.passes(3.0) == ""
        assert bench.heard.status == "paused"
        await bench.says(1)
        assert (bench.heard.sound, bench.heard.status) == ("c", "live")


async def test_a_client_that_speaks_all_the_time_is_heard_as_it_is() -> None:
    async with opened() as bench:
        for _ in range(50):
            await bench.says(1)
            await bench.passes(0.08)
        assert bench.heard.sound == "c" * 50


async def test_audio_in_long_pieces_has_no_silence_between_them() -> None:
    async with opened() as bench:
        for _ in range(5):
            await bench.says(10)
            await bench.passes(0.8)
        assert bench.heard.sound == "c" * 50


async def test_silence_stands_in_for_a_while_and_then_the_conversation_stands_still() -> None:
    async with opened(hold_s=2.0) as bench:
        await bench.says(1)
        assert set(await bench.passes(2.0)) == {"."}
        assert 14 <= len(bench.heard.sound) <= 25
        assert await bench.passes(5.0) in ("", ".")
        assert bench.heard.status == "paused"
        await bench.says(1)
        assert bench.heard.sound[-1] == "c"


async def test_silence_goes_on_as_long_as_something_is_to_come() -> None:
    async with opened(hold_s=0.0) as bench:
        bench.wanted[0] = True
        bench.line.hold()
        assert 50 <= len(await bench.passes(5.0)) <= 64
        bench.wanted[0] = False
        await bench.passes(0.2)
        assert await bench.passes(5.0) == ""


async def test_a_file_at_once_is_not_heard_at_once_but_somewhat_faster_than_it_plays() -> None:
    async with opened() as bench:
        await bench.says(100)
        assert len(bench.heard.sound) in (24, 25)
        assert 17 <= len(await bench.passes(1.0)) <= 20
        await bench.passes(6.0)
        assert bench.heard.sound[:100] == "c" * 100


async def test_more_than_may_wait_is_refused_and_what_waits_can_be_thrown_away() -> None:
    async with opened(most_s=5.0) as bench:
        await bench.says(60)
        with pytest.raises(Overrun):
            await bench.says(60)
        bench.line.clear()
        await bench.passes(3.0)
        assert bench.heard.sound.count("c") in (24, 25)


async def test_after_a_turn_silence_follows_at_once() -> None:
    async with opened() as bench:
        await bench.says(10)
        bench.line.turn_over()
        assert (await bench.passes(0.1))[:1] == "."


async def test_times_of_the_conversation_are_those_of_the_clients_audio() -> None:
    async with opened(hold_s=2.0) as bench:
        await bench.says(10)
        bench.line.turn_over()
        await bench.passes(1.6)
        silence = bench.heard.sound.count(".")
        assert silence > 5
        await bench.says(10)
        second = (10 + silence) * 0.08
        assert bench.line.client_s(0.4) == pytest.approx(0.4)
        assert bench.line.client_s(0.8 + 0.3) == pytest.approx(0.8)
        assert bench.line.client_s(second + 0.16) == pytest.approx(0.8 + 0.16)
        bench.line.lost(0.16)
        assert bench.line.client_s(second) == pytest.approx(0.8 + 0.16)
