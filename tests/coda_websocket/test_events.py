"""`/api/events`: what happens, and commands."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import websockets

from coda_core import Stack
from coda_core.interfaces import Measured
from coda_moshi.config import EchoConfig, MoshiConfig
from coda_streaming.config import OfflineConfig, RealtimeConfig

FRAME = 1_920


class Reader:
    """A plain client of the event stream."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket

    async def read(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(await self.socket.recv())
        return value

    async def until(self, type: str) -> dict[str, Any]:
        while (message := await self.read())["type"] != type:
            pass
        return message

    async def ask(self, **command: Any) -> dict[str, Any]:
        await self.socket.send(json.dumps(command))
        return await self.until("reply")

    async def closed(self) -> tuple[int | None, str | None]:
        with suppress(websockets.ConnectionClosed):
            while True:
                await self.socket.recv()
        return self.socket.close_code, self.socket.close_reason


@asynccontextmanager
async def reading(served: Any, caller: Any) -> AsyncIterator[Reader]:
    headers = {"Authorization": f"Bearer {caller.resume_token}"}
    url = served.ws(f"/api/events?conversation={caller.id}")
    async with websockets.connect(url, additional_headers=headers) as socket:
        reader = Reader(socket)
        hello = await reader.read()
        assert (hello["type"], hello["version"], hello["conversation"]) == ("hello", 1, caller.id)
        yield reader


async def test_words_come_as_they_are_said_and_the_end_is_told(serve: Any, calling: Any, voice: Any) -> None:
    stack = Stack(processor=MoshiConfig(model_path="tiny", conversations=1), streaming_manager=OfflineConfig())
    async with serve(stack) as served, calling(served, "codec=pcm&seed=1") as caller, reading(served, caller) as reader:
        await caller.send(voice(1, 40))
        word = await reader.until("text")
        assert word["speaker"] == "moshi"
        assert word["end_s"] > word["start_s"] >= 0
        assert word["conversation"] == caller.id
        assert (await reader.ask(command="close", id=7)) == {"type": "reply", "ok": True, "id": 7}
        code, _ = await caller.until_closed()
        assert code == 1000


async def test_commands_are_done_and_answered(serve: Any, calling: Any) -> None:
    async with serve() as served, calling(served) as caller, reading(served, caller) as reader:
        conversation = served.kernel.conversations[caller.id]
        assert await reader.ask(command="pause", id="a") == {"type": "reply", "ok": True, "id": "a"}
        assert conversation.status == "paused"
        assert await reader.ask(command="resume") == {"type": "reply", "ok": True, "id": None}
        assert conversation.status == "live"
        # What the processor cannot do is said in words.
        for command in ({"command": "say", "text": "hello"}, {"command": "interrupt"}):
            reply = await reader.ask(**command, id=1)
            assert (reply["ok"], reply["id"]) == (False, 1)
            assert "capability" in reply["error"]
        assert conversation.status == "live"


async def test_pausing_is_told_with_its_number(serve: Any, calling: Any) -> None:
    async with serve() as served, calling(served) as caller, reading(served, caller) as reader:
        await reader.socket.send(json.dumps({"command": "pause"}))
        paused = await reader.until("paused")
        await reader.socket.send(json.dumps({"command": "resume"}))
        resumed = await reader.until("resumed")
        assert resumed["sequence"] == paused["sequence"] + 1
        assert resumed["version"] == 1


async def test_frames_that_are_dropped_and_late_are_told_to_the_peer(serve: Any, calling: Any, voice: Any) -> None:
    stack = Stack(
        processor=EchoConfig(),
        streaming_manager=RealtimeConfig(buffer_frames=5, measures_interval_s=0.1),
    )
    async with (
        serve(stack) as served,
        calling(served, "codec=pcm") as caller,
        reading(served, caller) as reader,
        served.kernel.subscribe(Measured) as measured,
    ):
        await reader.ask(command="pause")
        await caller.send(voice(1, 12))
        while (told := await reader.until("measured"))["dropped_frames"] < 7:
            pass
        assert (told["conversation"], told["dropped_frames"], told["queued_frames"]) == (caller.id, 7, 5)
        assert (told["late_frames"], told["drop_rate"]) == (0, 7 / 12)
        first = await anext(measured)
        while (await anext(measured)).time_s < first.time_s + 0.1:
            pass
        await reader.socket.send(json.dumps({"command": "resume"}))
        assert (await reader.until("gap"))["frames"] == 7
        while (told := await reader.until("measured"))["late_frames"] < 5:
            pass
        assert (told["dropped_frames"], told["late_frames"], told["queued_frames"]) == (7, 5, 0)
        assert told["lateness_p95_s"] > 0


async def test_the_end_of_the_conversation_is_the_last_that_is_told(serve: Any, calling: Any) -> None:
    async with serve() as served, calling(served) as caller, reading(served, caller) as reader:
        await served.kernel.conversations[caller.id].close()
        closed = await reader.until("closed")
        assert closed["reason"] == "closed"
        assert await reader.closed() == (1000, "the conversation has ended")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ({"command": "sya", "text": "x"}, "say"),
        ({"command": 5}, "no command"),
        ({}, "no command"),
        ({"command": "say"}, "needs a text"),
        ({"command": "say", "text": " "}, "needs a text"),
        ({"command": "say", "text": "x" * 3000}, "3000 characters"),
        ({"command": "say", "text": "x", "deadline_s": -1}, "deadline_s"),
        ({"command": "say", "text": "x", "deadline_s": "1"}, "deadline_s"),
        ({"command": "say", "text": "x", "yields": 1}, "yields"),
        ({"command": "say", "text": "x", "loud": True}, "loud"),
        ({"command": "interrupt", "for_s": 0}, "for_s"),
        ({"command": "pause", "text": "x"}, "no field"),
    ],
)
async def test_a_wrong_command_is_answered_with_what_is_wrong(
    serve: Any, calling: Any, command: dict[str, Any], said: str
) -> None:
    async with serve() as served, calling(served) as caller, reading(served, caller) as reader:
        reply = await reader.ask(**command)
        assert not reply["ok"]
        assert said in reply["error"]


@pytest.mark.parametrize(
    ("message", "code"),
    [("nonsense", 1007), ("[]", 1007), ("NaN", 1007), ("[" * 100_000, 1007), ("", 1007), (b"\x01abc", 1003)],
)
async def test_what_is_no_command_ends_the_connection_and_not_the_conversation(
    serve: Any, calling: Any, message: str | bytes, code: int
) -> None:
    async with serve() as served, calling(served) as caller, reading(served, caller) as reader:
        await reader.socket.send(message)
        assert (await reader.closed())[0] == code
        assert served.kernel.conversations[caller.id].status == "live"


async def test_no_other_conversation_can_be_read_or_steered(serve: Any, calling: Any) -> None:
    async with serve() as served, calling(served) as one, calling(served) as other:
        for id in (other.id, "nothing"):
            with pytest.raises(websockets.InvalidStatus) as refusal:
                async with websockets.connect(
                    served.ws(f"/api/events?conversation={id}"),
                    additional_headers={"Authorization": f"Bearer {one.resume_token}"},
                ):
                    pass
            assert refusal.value.response.status_code == 401
