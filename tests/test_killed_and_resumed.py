"""A process that is killed in the middle of a conversation: it goes on from what was saved, with the same tokens."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from coda_core import Closed, Event, Kernel, Parked, Stack, Unparked
from coda_core.audio import to_int16
from coda_core.cli import coda
from coda_core.events import Saved
from coda_core.recording import Recording, read_recording
from coda_moshi.config import MoshiConfig
from coda_state.config import ConversationManagerConfig, SqliteStoreConfig
from coda_streaming.config import OfflineConfig

FRAME = 1_920
FRAMES = 300

CHILD = """
import asyncio, sys
from tests.test_killed_and_resumed import FRAME, FRAMES, caller, stack
from pathlib import Path
from coda_core import Kernel
from coda_core.events import Saved

async def tell(events):
    async for event in events:
        print("saved", event.frame, flush=True)

async def main():
    async with Kernel(stack(Path(sys.argv[1]), 0.1)) as kernel, kernel.open_conversation(seed=5) as conversation:
        print(conversation.id, conversation.resume_token, flush=True)
        telling = asyncio.create_task(tell(conversation.subscribe(Saved)))
        said = False
        for frame in range(FRAMES):
            if frame == 4:
                await conversation.say("good morning", deadline_s=0.3)
            await conversation.send(caller()[frame * FRAME : (frame + 1) * FRAME])
            await conversation.drain()
        await telling

asyncio.run(main())
"""


def caller() -> NDArray[np.float32]:
    return np.random.default_rng(3).uniform(-0.3, 0.3, FRAMES * FRAME).astype(np.float32)


def stack(folder: Path, save_every_s: float | None) -> Stack:
    return Stack(
        base_dir=folder,
        save_model_state_every_s=save_every_s,
        processor=MoshiConfig(model_path="tiny"),
        streaming_manager=OfflineConfig(),
        state_manager=ConversationManagerConfig(record_audio=True),
        state_store=SqliteStoreConfig(),
    )


@pytest.fixture
def child(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    root = Path(__file__).parent.parent
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


async def test_it_goes_on_from_what_was_saved_with_the_tokens_it_would_have_had(
    child: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert child.stdout is not None
    id, token = child.stdout.readline().split()
    saved = 0
    while saved < 20:
        saved = int(child.stdout.readline().split()[1])
    child.kill()
    child.wait()

    async with Kernel(stack(tmp_path, None)) as kernel:
        conversation = await kernel.resume(id, token=token)
        again = conversation.frames
        assert saved <= again < FRAMES
        await conversation.send(caller()[again * FRAME :])
        await conversation.drain()
        await conversation.close()
        async with kernel.open_conversation(seed=5) as whole:
            await whole.send(caller()[: 4 * FRAME])
            await whole.drain()
            await whole.say("good morning", deadline_s=0.3)
            await whole.send(caller()[4 * FRAME :])
            await whole.drain()

    events, killed = stored(tmp_path, id)
    _, uninterrupted = stored(tmp_path, whole.id)
    parked, unparked, closed = (event for event in events if isinstance(event, (Parked, Unparked, Closed)))
    assert isinstance(parked, Parked)
    assert isinstance(closed, Closed)
    assert (parked.reason, unparked.frame, closed.reason, closed.frame) == ("interrupted", again, "closed", FRAMES)
    # The state is durable before it is said to be.
    assert max(event.frame or 0 for event in events if isinstance(event, Saved)) == parked.frame
    assert (parked.frame or 0) <= again
    assert all(event.size_bytes > 0 for event in events if isinstance(event, Saved))
    np.testing.assert_array_equal(killed.rows["token"], uninterrupted.rows["token"])
    np.testing.assert_array_equal(killed.pcm, uninterrupted.pcm)
    np.testing.assert_array_equal(killed.voices[:, 0], to_int16(caller()))

    # What was undone by the kill is undone in a replay, too.
    database = str(tmp_path / "conversations.db")
    arguments = ["conversations", "replay", id, "--database", database]
    replayed = await asyncio.to_thread(CliRunner().invoke, coda, arguments)
    assert (replayed.exit_code, replayed.stdout.splitlines()[1:]) == (0, ["tokens: the same", "voice: the same"])


def stored(folder: Path, id: str) -> tuple[list[Event], Recording]:
    import logging
    from contextlib import closing

    from coda_state.sqlite import SqliteStore

    with closing(SqliteStore(folder / "conversations.db", 5.0, logging.getLogger("coda.test"))) as store:
        store.open()
        recording = read_recording(store, id)
        assert recording is not None
        return list(store.events(id)), recording
