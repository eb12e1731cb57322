"""Connections that break at any moment, against a conversation that nothing happens to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
import websockets
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from coda_core import AudioFrame, ExtractedText, Stack
from coda_moshi.config import MoshiConfig
from coda_state.config import SqliteStoreConfig
from coda_streaming.config import OfflineConfig

FRAME = 1_920
FRAMES = 20
CALLERS = 3

Said = list[tuple[int, ...]]


@attrs.frozen
class Cut:
    """How a connection ends, after so many frames were sent on it."""

    after: int
    how: str
    in_flight: bool
    """Whether it breaks while they are on their way, or when all are heard."""


cuts = st.builds(
    Cut,
    after=st.integers(0, 9),
    how=st.sampled_from(["closed", "aborted", "taken over", "parked"]),
    in_flight=st.booleans(),
)


class Server:
    """A server on an event loop of its own, in a thread: it outlives the examples that Hypothesis makes."""

    def __init__(self, serve: Any, stack: Stack) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._exits = AsyncExitStack()
        self.served = self.run(self._exits.enter_async_context(serve(stack, send_buffer_frames=1_000)))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        self.run(self._exits.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def server(serve: Any, tmp_path: Path) -> Iterator[Server]:
    stack = Stack(
        processor=MoshiConfig(model_path="tiny", conversations=CALLERS),
        streaming_manager=OfflineConfig(),
        state_store=SqliteStoreConfig(path=tmp_path / "conversations.db"),
    )
    server = Server(serve, stack)
    yield server
    server.close()


def test_a_storm_of_disconnects_changes_nothing_that_is_said(
    server: Server, calling: Any, voice: Any, until: Callable[..., Any]
) -> None:
    """Three callers at once, each cut off by a schedule of its own; each sends again what the server did not get."""

    async def talk(seed: int, schedule: list[Cut]) -> Said:
        served = server.served
        pcm = voice(seed, FRAMES)
        async with AsyncExitStack() as exits:

            async def connect(query: str, **options: Any) -> tuple[Any, int]:
                caller = await exits.enter_async_context(calling(served, f"codec=pcm&metadata=1&{query}", **options))
                # One that did not read what was said to it would wait for its close handshake.
                exits.callback(caller.socket.transport.abort)
                await caller.read()
                return caller, caller.metadata[0]["next_frame"]

            caller, reached = await connect(f"seed={seed}")
            id, token = caller.id, caller.resume_token
            conversation = served.kernel.conversations[id]
            output = conversation.subscribe(ExtractedText, AudioFrame, size=1_000)
            for cut in schedule:
                sent = min(FRAMES, reached + cut.after)
                with suppress(websockets.ConnectionClosed):
                    await caller.send(pcm[reached * FRAME : sent * FRAME])
                if not cut.in_flight:
                    await until(lambda: conversation.frames == sent)  # noqa: B023
                if cut.how == "closed":
                    await caller.socket.close()
                elif cut.how in ("aborted", "parked"):
                    caller.socket.transport.abort()
                if cut.how == "parked":
                    await until(lambda: conversation.detached_since_s is not None)
                    await conversation.park()
                # Else it stays open, and is taken over by the next.
                caller, reached = await connect(
                    f"conversation={id}", additional_headers={"Authorization": f"Bearer {token}"}
                )
                assert sent - cut.after <= reached <= sent
                if not cut.in_flight:
                    assert reached == sent
            await caller.send(pcm[reached * FRAME :])
            await until(lambda: conversation.frames == FRAMES)
            await conversation.close()
        items = [item async for item in output]
        assert [item.frame for item in items if isinstance(item, AudioFrame)] == list(range(FRAMES))
        return [item.tokens for item in items if isinstance(item, ExtractedText)]

    async def together(schedules: list[list[Cut]]) -> list[Said]:
        return await asyncio.gather(*(talk(seed, schedule) for seed, schedule in enumerate(schedules)))

    expected = server.run(together([[]] * CALLERS))
    assert all(expected)

    @settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(st.lists(cuts, min_size=2, max_size=5), min_size=CALLERS, max_size=CALLERS))
    def storm(schedules: list[list[Cut]]) -> None:
        assert server.run(together(schedules)) == expected

    storm()
