"""The state manager in a kernel, on audio whose turns are known: the processor gives it back two seconds later."""

from __future__ import annotations

import asyncio
from pathlib import Path

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray

from coda_core.config import Stack
from coda_core.errors import ModelError
from coda_core.events import Closed, Event, Opened
from coda_core.kernel import Kernel
from coda_core.state import ConversationState, PhaseChanged, Snapshot, Spread, TurnEnded
from coda_moshi.config import EchoConfig
from coda_moshi.echo import Echo
from coda_state.config import MemoryStoreConfig, SqliteStoreConfig
from coda_streaming.config import OfflineConfig

FRAME = 1_920
DELAY = 25
"""Frames after which the echo answers."""


def speech(*pieces: tuple[int, bool]) -> NDArray[np.float32]:
    """Return noise and silence of so many frames each."""
    draw = np.random.default_rng(0)
    parts = [draw.uniform(-0.5, 0.5, frames * FRAME) * spoken for frames, spoken in pieces]
    return np.concatenate(parts).astype(np.float32)


def stack(folder: Path, store: object) -> Stack:
    return Stack(
        base_dir=folder,
        processor=EchoConfig(delay_frames=DELAY),
        streaming_manager=OfflineConfig(),
        state_store=store,
    )


async def conversed(folder: Path, store: object) -> tuple[str, list[Event]]:
    """Speak for 10 frames, three times in 60; return what was told."""
    async with Kernel(stack(folder, store)) as kernel:
        async with kernel.open_conversation() as conversation:
            events = conversation.subscribe(Event)
            await conversation.send(speech(*(((5, False), (10, True), (45, False)) * 3)))
            await conversation.drain()
            state = await kernel_state(kernel, conversation.id, 180)
            assert state.metrics.exchanges == 3
            assert state.metrics.response_frames.p50 == DELAY - 10
        told = [event async for event in events]
        assert kernel.state(conversation.id) is None
        return conversation.id, told


async def kernel_state(kernel: Kernel, conversation: str, frame: int) -> ConversationState:
    """Return the state, once the state manager has seen so many frames."""
    await kernel._parts.streaming_manager.call("state", lambda: None)
    state = kernel.state(conversation)
    assert state is not None
    assert state.frame == frame
    return state


async def test_turns_and_phases_are_those_of_the_audio(tmp_path: Path) -> None:
    _, told = await conversed(tmp_path, MemoryStoreConfig())
    turns = [
        (each.speaker, each.start_frame, each.frame, each.response_frames) for each in told if type(each) is TurnEnded
    ]
    assert turns == [
        turn
        for begin in (5, 65, 125)
        for turn in (("caller", begin, begin + 10, None), ("moshi", begin + DELAY, begin + DELAY + 10, DELAY - 10))
    ]
    phases = [event.phase for event in told if isinstance(event, PhaseChanged)]
    assert phases == [*("processing", "responding", "listening") * 3, "ending", "ended"]
    last = next(event for event in reversed(told) if isinstance(event, Snapshot))
    assert (last.metrics.caller_frames, last.metrics.moshi_frames, last.metrics.silence_frames) == (30, 30, 120)
    assert last.quality.level == "unknown" or last.quality.score is not None
    assert isinstance(told[-1], Closed)


async def test_the_same_audio_gives_the_same_state(tmp_path: Path) -> None:
    def lasting(told: list[Event]) -> list[tuple[type[Event], int | None]]:
        return [(type(event), event.frame) for event in told]

    first = await conversed(tmp_path, MemoryStoreConfig())
    second = await conversed(tmp_path, MemoryStoreConfig())
    assert lasting(first[1]) == lasting(second[1])


async def test_all_that_was_told_is_stored(tmp_path: Path) -> None:
    id, told = await conversed(tmp_path, SqliteStoreConfig())
    async with Kernel(stack(tmp_path, SqliteStoreConfig())) as kernel:
        stored = list(kernel._parts.state_store.events(id))
    assert isinstance(stored[0], Opened)
    assert stored[1:] == told


def test_a_start_that_fails_leaves_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: object) -> None:
        raise ModelError("there is no checkpoint")

    monkeypatch.setattr(Echo, "__init__", refuse)

    async def start() -> None:
        async with Kernel(stack(tmp_path, SqliteStoreConfig())):
            raise AssertionError("there is no checkpoint")

    with pytest.raises(ModelError, match="there is no checkpoint"):
        asyncio.run(start())
    assert list(tmp_path.iterdir()) == []


async def test_parked_and_brought_back_its_state_goes_on(tmp_path: Path) -> None:
    audio = speech(*(((5, False), (10, True), (45, False)) * 3))
    half = 70 * FRAME  # in the middle of the caller's second turn
    async with Kernel(stack(tmp_path, SqliteStoreConfig())) as kernel, kernel.open_conversation() as conversation:
        await conversation.send(audio[:half])
        await conversation.drain()
        id, token = conversation.id, conversation.resume_token
        await conversation.park()
    async with Kernel(stack(tmp_path, SqliteStoreConfig())) as kernel:
        conversation = await kernel.resume(id, token=token)
        await conversation.send(audio[half:])
        await conversation.drain()
        parked = await kernel_state(kernel, id, 180)
        await conversation.close()
    async with Kernel(stack(tmp_path, MemoryStoreConfig())) as kernel, kernel.open_conversation() as conversation:
        await conversation.send(audio)
        await conversation.drain()
        whole = await kernel_state(kernel, conversation.id, 180)
    # How late frames were is the machine's, not the audio's.
    by_audio = [attrs.evolve(each.metrics, lateness_s=Spread(), late_frames=0) for each in (parked, whole)]
    assert by_audio[0] == by_audio[1]
