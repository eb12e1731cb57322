"""Callers who are cut off and come back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import websockets

from coda_core import Stack
from coda_core.events import Attached, Detached, Parked
from coda_core.testing import ManualClock
from coda_moshi.config import EchoConfig, MoshiConfig
from coda_state.config import SqliteStoreConfig
from coda_streaming.config import OfflineConfig

FRAME = 1_920


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_caller_who_was_cut_off_goes_on_where_it_was(serve: Any, calling: Any, voice: Any, until: Any) -> None:
    pcm = voice(1, 10)
    async with serve(token="callers") as served:
        async with calling(served, additional_headers=bearer("callers")) as caller:
            await caller.send(pcm[: 5 * FRAME])
            await caller.hear(4)
            caller.socket.transport.abort()
        conversation = served.kernel.conversations[caller.id]
        await until(lambda: conversation.detached_since_s is not None)
        assert conversation.status == "paused"
        query = f"codec=pcm&metadata=1&conversation={caller.id}"
        async with calling(served, query, additional_headers=bearer(caller.resume_token)) as again:
            await again.read()
            assert again.metadata[0]["resumed"]
            assert again.metadata[0]["frame"] == 5
            await again.send(pcm[5 * FRAME :])
            assert np.array_equal(await again.hear(5), pcm[4 * FRAME : 9 * FRAME])
        assert served.kernel.conversations[caller.id] is conversation


@pytest.mark.parametrize("token", ["", "wrong", "callers"])
async def test_nobody_comes_to_a_conversation_without_its_own_token(serve: Any, calling: Any, token: str) -> None:
    async with serve(token="callers") as served, calling(served, additional_headers=bearer("callers")) as caller:
        for id in (caller.id, "0" * 32):
            with pytest.raises(websockets.InvalidStatus) as refusal:
                async with calling(served, f"codec=pcm&conversation={id}", additional_headers=bearer(token)):
                    pass
            response = refusal.value.response
            assert response.status_code == 401
            if token:
                # Whether there is such a conversation is not told.
                assert "with this id and token" in json.loads(response.body or b"")["error"]
        assert served.kernel.conversations[caller.id].attachment == 0


async def test_who_comes_back_takes_the_place_of_a_connection_that_seems_alive(
    serve: Any, calling: Any, voice: Any
) -> None:
    pcm = voice(2, 6)
    async with serve() as served, calling(served) as caller:
        await caller.send(pcm[: 3 * FRAME])
        await caller.hear(2)
        query = f"codec=pcm&conversation={caller.id}"
        async with calling(served, query, additional_headers=bearer(caller.resume_token)) as again:
            code, reason = await caller.until_closed()
            assert code == 1008
            assert "another connection" in reason
            await again.send(pcm[3 * FRAME :])
            assert np.array_equal(await again.hear(3), pcm[2 * FRAME : 5 * FRAME])
            assert served.kernel.conversations[caller.id].status == "live"


async def test_who_does_not_come_back_in_time_is_parked_and_can_come_back_still(
    serve: Any, calling: Any, voice: Any, until: Any, tmp_path: Path
) -> None:
    clock = ManualClock()
    stack = Stack(
        processor=MoshiConfig(model_path="tiny", conversations=1),
        streaming_manager=OfflineConfig(),
        state_store=SqliteStoreConfig(path=tmp_path / "conversations.db"),
    )
    pcm = voice(3, 20)
    async with serve(stack, kernel_clock=clock, grace_s=30, send_buffer_frames=1_000) as served:
        async with calling(served, "codec=pcm&seed=1") as whole:
            await whole.send(pcm)
            expected = await whole.hear(19)
            await served.kernel.conversations[whole.id].close()
        async with calling(served, "codec=pcm&seed=1") as caller:
            await caller.send(pcm[: 8 * FRAME])
            heard = await caller.hear(7)
            caller.socket.transport.abort()
        conversation = served.kernel.conversations[caller.id]
        events = conversation.subscribe(Parked)
        await until(lambda: conversation.detached_since_s is not None)
        clock.advance(31)
        parked = await anext(events)
        assert parked.reason == "detached"
        query = f"codec=pcm&conversation={caller.id}"
        async with calling(served, query, additional_headers=bearer(caller.resume_token)) as again:
            await again.send(pcm[8 * FRAME :])
            heard = np.concatenate([heard, await again.hear(12)])
    np.testing.assert_allclose(heard, expected, atol=1.001 / 32768)


@pytest.mark.parametrize("goodbye", [b"\x88\x82\0\0\0\0\x03\xe8", b"\x88\x80\0\0\0\0"], ids=["1000", "no code"])
async def test_a_slot_of_one_who_said_goodbye_is_for_who_waits(serve: Any, calling: Any, goodbye: bytes) -> None:
    """With a code or without one, as a page does that just closes its socket."""
    async with serve(Stack(processor=EchoConfig(conversations=1))) as served:
        async with calling(served) as first:
            first.socket.transport.write(goodbye)
            await first.socket.wait_closed()
        async with calling(served) as second:
            there = served.kernel.conversations
            assert there[second.id].status == "live"
            assert first.id not in there or there[first.id].status == "parked"


async def test_leaving_and_coming_back_are_recorded(serve: Any, calling: Any, until: Any) -> None:
    async with serve() as served:
        events = served.kernel.subscribe(Detached, Attached)
        async with calling(served) as caller:
            pass
        assert isinstance(await anext(events), Detached)
        async with calling(
            served, f"codec=pcm&conversation={caller.id}", additional_headers=bearer(caller.resume_token)
        ):
            assert isinstance(await anext(events), Attached)
