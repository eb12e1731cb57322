"""A kernel whose disk is full for a while: audio goes on, it is told, and nothing is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np

from coda_core.audio import AudioFrame
from coda_core.config import Stack
from coda_core.events import Event, Fault, StoreFailing, StoreRecovered
from coda_core.kernel import Kernel
from coda_core.state import PhaseChanged
from coda_moshi.config import EchoConfig
from coda_state.config import SqliteStoreConfig
from coda_state.sqlite import SqliteStore
from coda_streaming.config import OfflineConfig

FRAME = 1_920


def limit_pages(store: SqliteStore, more: int) -> None:
    """Let the database grow by so many pages."""
    pages = store._session.read("PRAGMA page_count")[0][0]
    store._session.read(f"PRAGMA max_page_count = {pages + more}")


async def test_audio_goes_on_and_what_waited_is_stored_when_there_is_room(tmp_path: Path) -> None:
    stack = Stack(
        base_dir=tmp_path, processor=EchoConfig(), streaming_manager=OfflineConfig(), state_store=SqliteStoreConfig()
    )
    loud = np.full(FRAME * 10, 0.5, np.float32)
    async with Kernel(stack) as kernel, asyncio.timeout(60):
        store = kernel._parts.state_store
        assert isinstance(store, SqliteStore)
        told = kernel.subscribe(StoreFailing, StoreRecovered)
        async with kernel.open_conversation() as conversation:
            events = conversation.subscribe(Event)
            audio = conversation.subscribe(AudioFrame, size=1000)
            limit_pages(store, 1)
            conversation.publish(Fault(message="x" * 100_000))
            failing = await anext(told)
            assert isinstance(failing, StoreFailing)
            assert "the disk is full" in failing.message
            for pcm in (loud, loud * 0) * 3:
                await conversation.send(pcm)
            await conversation.drain()
            frames = [await anext(audio) for _ in range(60)]
            assert [frame.frame for frame in frames] == list(range(60))
            assert conversation.durable_sequence == 1
            limit_pages(store, 10_000)
            assert await anext(told) == StoreRecovered()
        seen = [event async for event in events]
        stored = list(store.events(conversation.id))
    assert stored[1:] == seen
    assert [event.sequence for event in stored] == list(range(1, len(stored) + 1))
    assert sum(isinstance(event, PhaseChanged) for event in stored) >= 3
