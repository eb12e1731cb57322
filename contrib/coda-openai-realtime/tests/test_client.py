"""OpenAI's own client, unchanged, against a server on a real socket."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import websockets
from coda_core import load_plugins
from coda_core.testing import plugin
from openai import OpenAI

from coda_openai_realtime.config import VoiceFile
from coda_openai_realtime.sound import FORMATS, Encoder, decoded
from coda_openai_realtime_testing import FRAME, PATIENCE_S, Serve, heard, noise, silence, spoken, until

BEGUN = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio.delta",
]


class Follower:
    """Reads what comes, and remembers it."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.seen: list[Any] = []

    async def next(self, *types: str) -> Any:
        """Return the next event of one of the types."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                event = await self.connection.recv()
                self.seen.append(event)
                if event.type in types:
                    return event

    def deltas(self, type: str) -> list[str]:
        return [event.delta for event in self.seen if event.type == type]

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.seen]


async def test_a_conversation(serve: Serve) -> None:
    async with serve() as served, served.client().realtime.connect(model="gpt-realtime") as connection:
        follower = Follower(connection)
        session = (await follower.next("session.created")).session
        assert (session.type, session.model, session.output_modalities) == ("realtime", "scripted", ["audio"])
        await connection.session.update(
            session={
                "type": "realtime",
                "model": "gpt-realtime",
                "audio": {
                    "input": {"turn_detection": {"type": "semantic_vad", "eagerness": "high"}},
                    "output": {"voice": "marin", "speed": 1.2},
                },
                "tools": [{"type": "function", "name": "weather", "parameters": {}}],
                "max_output_tokens": 400,
            }
        )
        session = (await follower.next("session.updated")).session
        assert (session.audio.output.voice, session.audio.output.speed, session.tools) == ("scripted", 1.0, [])
        follower.seen.clear()
        for number in range(10):
            await connection.input_audio_buffer.append(audio=spoken(1, number))
        done = await follower.next("response.done")
        assert done.response.status == "completed"
        turn = [event for event in follower.seen if event.type.startswith("input_audio_buffer.")]
        assert [event.type.partition(".")[2] for event in turn] == ["speech_started", "speech_stopped", "committed"]
        assert len({event.item_id for event in turn}) == 1
        assert (turn[0].audio_start_ms, turn[1].audio_end_ms) == (0, 800)
        mine = [event.type for event in follower.seen if event.type.startswith(("response", "conversation.item.added"))]
        assert mine[:5] == BEGUN
        assert len({event.event_id for event in follower.seen}) == len(follower.seen)
        said = np.concatenate([noise(1, number) for number in range(10)])
        assert np.array_equal(heard(follower.seen)[: 10 * FRAME], -said)
        assert not np.any(heard(follower.seen)[10 * FRAME :])


def test_the_client_that_blocks_works_too(serve: Serve) -> None:
    def talk(url: str) -> str:
        client = OpenAI(api_key="any", base_url=url.replace("ws", "http", 1), websocket_base_url=url)
        with client.realtime.connect(model="gpt-realtime") as connection:
            connection.conversation.item.create(
                item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello world"}]}
            )
            connection.response.create()
            for event in connection:
                if event.type == "response.output_audio_transcript.done":
                    return event.transcript
        return ""

    async def serving() -> str:
        async with serve() as served, asyncio.timeout(PATIENCE_S):
            return await asyncio.to_thread(talk, served.url)

    assert asyncio.run(serving()) == "hello world"


@pytest.mark.parametrize("role", ["user", "assistant"])
async def test_a_text_is_spoken_without_any_audio_of_the_clients(serve: Serve, role: Any) -> None:
    async with serve() as served, served.client().realtime.connect(model="any") as connection:
        follower = Follower(connection)
        kind = "input_text" if role == "user" else "output_text"
        content: Any = [{"type": kind, "text": "hello world"}]
        await connection.conversation.item.create(
            item={"type": "message", "role": role, "content": content, "id": "mine"}
        )
        item = (await follower.next("conversation.item.done")).item
        assert (item.id, item.role, item.content[0].text) == ("mine", role, "hello world")
        await connection.response.create(response={"metadata": {"topic": "greeting"}})
        assert (await follower.next("response.created")).response.status == "in_progress"
        response = (await follower.next("response.done")).response
        assert (response.status, response.metadata) == ("completed", {"topic": "greeting"})
        assert [event.delta for event in follower.seen if event.type.endswith("transcript.delta")] == [
            "hello",
            " world",
        ]
        assert response.output[0].content[0].transcript == "hello world"


async def test_history_and_other_roles_are_kept_and_not_spoken(serve: Serve) -> None:
    async with serve(response_wait_s=0.5) as served, served.client().realtime.connect(model="any") as connection:
        follower = Follower(connection)
        for role, after in [("system", None), ("assistant", "root")]:
            item: Any = {"type": "message", "role": role, "content": [{"type": "input_text", "text": "hello"}]}
            extra: Any = {} if after is None else {"previous_item_id": after}
            await connection.conversation.item.create(item=item, **extra)
            await follower.next("conversation.item.done")
        await connection.response.create()
        response = (await follower.next("response.done")).response
        assert (response.status, response.output) == ("completed", [])


async def test_cancel(serve: Serve) -> None:
    async with serve() as served, served.client().realtime.connect(model="any") as connection:
        follower = Follower(connection)
        await connection.response.cancel(event_id="too-soon")
        error = (await follower.next("error")).error
        assert (error.code, error.event_id) == ("response_cancel_not_active", "too-soon")
        await connection.input_audio_buffer.append(audio=spoken(30))
        begun = await follower.next("response.created")
        await follower.next("response.output_audio.delta")
        await connection.response.cancel(response_id=begun.response.id)
        response = (await follower.next("response.done")).response
        assert (response.status, response.status_details.reason) == ("cancelled", "client_cancelled")
        assert response.output[0].status == "incomplete"
        # What Moshi says until its next silence is not passed on; after that it is heard again.
        follower.seen.clear()
        await follower.next("input_audio_buffer.speech_stopped")
        assert not any(type.startswith("response") for type in follower.types)
        await connection.input_audio_buffer.append(audio=spoken(5, seed=7))
        await follower.next("response.done")
        assert np.array_equal(_loud(heard(follower.seen)), -noise(5, seed=7))


async def test_a_text_that_waits_can_be_taken_back(serve: Serve) -> None:
    async with serve(say_deadline_s=60.0) as served, served.client().realtime.connect(model="any") as connection:
        follower = Follower(connection)
        for id in ("first", "second"):
            content: Any = [{"type": "input_text", "text": "hello"}]
            await connection.conversation.item.create(
                item={"type": "message", "role": "user", "id": id, "content": content}
            )
        await connection.conversation.item.delete(item_id="first")
        assert (await follower.next("conversation.item.deleted")).item_id == "first"
        await connection.response.cancel()
        (conversation,) = served.kernel.conversations.values()
        await until(lambda: not conversation._receipts.open)
        assert "error" not in follower.types


async def test_truncate(serve: Serve) -> None:
    async with serve() as served, served.client().realtime.connect(model="any") as connection:
        follower = Follower(connection)
        await connection.input_audio_buffer.append(audio=spoken(6))
        done = await follower.next("response.done")
        id = done.response.output[0].id
        await connection.conversation.item.truncate(item_id=id, content_index=0, audio_end_ms=240)
        truncated = await follower.next("conversation.item.truncated")
        assert (truncated.item_id, truncated.audio_end_ms) == (id, 240)
        await connection.conversation.item.truncate(item_id=id, content_index=0, audio_end_ms=241, event_id="again")
        error = (await follower.next("error")).error
        assert (error.param, error.event_id) == ("audio_end_ms", "again")
        await connection.conversation.item.retrieve(item_id=id)
        assert (await follower.next("conversation.item.retrieved")).item.id == id
        await connection.conversation.item.truncate(item_id="nothing", content_index=0, audio_end_ms=0)
        assert (await follower.next("error")).error.code == "item_not_found"


async def test_truncating_what_is_being_said_ends_that_response(serve: Serve) -> None:
    async with serve() as served, served.client().realtime.connect(model="any") as connection:
        follower = Follower(connection)
        await connection.input_audio_buffer.append(audio=spoken(5))
        first = await follower.next("response.output_audio.delta")
        await connection.conversation.item.truncate(item_id=first.item_id, content_index=0, audio_end_ms=80)
        assert (await follower.next("response.done")).response.status == "cancelled"
        await follower.next("conversation.item.truncated")
        await connection.input_audio_buffer.append(audio=spoken(5))
        later = await follower.next("response.output_audio.delta")
        assert later.item_id != first.item_id


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.beta_name)
async def test_every_format_goes_both_ways(serve: Serve, format: Any) -> None:
    time_s = np.arange(24_000) / 24_000
    voice = (0.5 * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32)
    coded = Encoder(format).encode(voice)
    async with serve() as served, served.client().realtime.connect(model="any") as connection:
        follower = Follower(connection)
        both: Any = {"format": {"type": format.type}}
        await connection.session.update(session={"type": "realtime", "audio": {"input": both, "output": both}})
        session = (await follower.next("session.updated")).session
        assert session.audio.input.format.type == session.audio.output.format.type == format.type
        await connection.input_audio_buffer.append(audio=base64.b64encode(coded).decode())
        await follower.next("response.done")
        deltas = [
            base64.b64decode(event.delta) for event in follower.seen if event.type == "response.output_audio.delta"
        ]
        sent, got = (np.asarray(decoded(data, format).pcm, np.float64) for data in (coded, b"".join(deltas)))
        part = sent[len(sent) // 2 :][:400]
        likeness = np.correlate(got, part, "valid") / np.sum(part**2)
        assert likeness.min() < -0.95


async def test_text_alone(serve: Serve) -> None:
    async with serve() as served, served.client().realtime.connect(model="any") as connection:
        follower = Follower(connection)
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        await connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello world"}]}
        )
        response = (await follower.next("response.done")).response
        assert (response.output_modalities, response.output[0].content[0].text) == (["text"], "hello world")
        assert [event.delta for event in follower.seen if event.type == "response.output_text.delta"] == [
            "hello",
            " world",
        ]
        assert not any("output_audio" in type for type in follower.types)


async def test_turns_by_hand(serve: Serve) -> None:
    async with serve() as served, served.client().realtime.connect(model="any") as connection:
        follower = Follower(connection)
        await connection.session.update(session={"type": "realtime", "audio": {"input": {"turn_detection": None}}})
        assert (await follower.next("session.updated")).session.audio.input.turn_detection is None
        await connection.input_audio_buffer.commit()
        assert (await follower.next("error")).error.code == "input_audio_buffer_commit_empty"
        await connection.input_audio_buffer.append(audio=spoken(5))
        await connection.input_audio_buffer.commit()
        committed = await follower.next("input_audio_buffer.committed")
        assert (await follower.next("conversation.item.done")).item.id == committed.item_id
        await follower.next("response.done")
        await connection.input_audio_buffer.append(audio=silence(2))
        await connection.input_audio_buffer.clear()
        await follower.next("input_audio_buffer.cleared")
        await connection.input_audio_buffer.commit()
        await follower.next("error")
        assert not any("speech" in type for type in follower.types)


async def test_one_who_wants_to_interrupt_does(serve: Serve) -> None:
    async with serve() as served, served.client().realtime.connect(model="any") as connection:
        follower = Follower(connection)
        detection: Any = {"turn_detection": {"type": "server_vad", "interrupt_response": True}}
        await connection.session.update(session={"type": "realtime", "audio": {"input": detection}})
        assert (await follower.next("session.updated")).session.audio.input.turn_detection.interrupt_response
        text = "hello " * 200
        await connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        )
        await follower.next("response.output_audio_transcript.delta")
        await connection.input_audio_buffer.append(audio=spoken(3))
        response = (await follower.next("response.done")).response
        assert (response.status, response.status_details.reason) == ("cancelled", "turn_detected")
        assert follower.types.index("input_audio_buffer.speech_started") < len(follower.types) - 1


async def test_instructions_are_the_prompt_until_the_model_listens(serve: Serve) -> None:
    template = "<system> {instructions} <system>"
    async with (
        serve(prompt_template=template, max_instructions_characters=100) as served,
        served.client().realtime.connect(model="any") as connection,
    ):
        follower = Follower(connection)
        await connection.session.update(session={"type": "realtime", "instructions": "x" * 101})
        assert (await follower.next("error")).error.code == "string_above_max_length"
        await connection.session.update(session={"type": "realtime", "instructions": "be kind"})
        assert (await follower.next("session.updated")).session.instructions == "be kind"
        (conversation,) = served.kernel.conversations.values()
        assert conversation.options.prompt == "<system> be kind <system>"
        await connection.input_audio_buffer.append(audio=spoken(3))
        await connection.session.update(session={"type": "realtime", "instructions": "be kind"})
        assert (await follower.next("session.updated")).session.instructions == "be kind"
        await connection.session.update(session={"type": "realtime", "instructions": "be rude"})
        error = (await follower.next("error")).error
        assert (error.code, error.param) == ("cannot_update_instructions", "session.instructions")
        await follower.next("response.done")


async def test_voices_that_are_known_and_others(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "marin.wav"
    soundfile.write(path, noise(5), 24_000)
    settings = {"voices": (VoiceFile(name="marin", path=path),), "unknown_voices": "refuse"}
    async with serve(**settings) as served, served.client().realtime.connect(model="any") as connection:
        follower = Follower(connection)
        await connection.session.update(session={"type": "realtime", "audio": {"output": {"voice": "alloy"}}})
        error = (await follower.next("error")).error
        assert (error.code, error.param) == ("invalid_value", "session.audio.output.voice")
        await connection.session.update(session={"type": "realtime", "audio": {"output": {"voice": "marin"}}})
        assert (await follower.next("session.updated")).session.audio.output.voice == "marin"
        (conversation,) = served.kernel.conversations.values()
        assert conversation.options.voice == str(path)


async def test_models(serve: Serve) -> None:
    async with serve(models=("moshi", "gpt-realtime")) as served:
        async with served.client().realtime.connect(model="gpt-realtime") as connection:
            assert (await connection.recv()).session.model == "gpt-realtime"  # type: ignore[union-attr]
        async with served.client().realtime.connect(model="gpt-5") as connection:
            event: Any = await connection.recv()
            assert event.error.code == "model_not_found"
            with pytest.raises(websockets.ConnectionClosedError):
                await connection.recv()


async def test_the_key_is_the_token(serve: Serve) -> None:
    async with serve(token="s3cret") as served:
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with served.client("wrong").realtime.connect(model="any"):
                pass
        assert refused.value.response.status_code == 401
        async with served.client("s3cret").realtime.connect(model="any") as connection:
            assert (await connection.recv()).type == "session.created"


async def test_a_full_house_says_so_and_the_next_who_leaves_makes_room(serve: Serve) -> None:
    async with serve(plugin.ScriptedConfig(conversations=1)) as served:
        async with served.client().realtime.connect(model="any") as connection:
            await connection.recv()
            async with served.client().realtime.connect(model="any") as turned_away:
                event: Any = await turned_away.recv()
                assert (event.error.type, event.error.code) == ("server_error", "server_full")
                with pytest.raises(websockets.ConnectionClosedError):
                    await turned_away.recv()
                assert turned_away._connection.close_code == 1013
        await until(lambda: not served.kernel.conversations)
        async with served.client().realtime.connect(model="any") as connection:
            assert (await connection.recv()).type == "session.created"


async def test_two_at_once_know_nothing_of_each_other(serve: Serve) -> None:
    async def talk(served: Any, seed: int) -> None:
        async with served.client().realtime.connect(model="any") as connection:
            follower = Follower(connection)
            item: Any = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}
            await connection.conversation.item.create(item=item)
            for number in range(12):
                await connection.input_audio_buffer.append(audio=spoken(1, 100 * seed + number))
            done = await follower.next("response.done")
            said = np.concatenate([noise(1, 100 * seed + number) for number in range(12)])
            assert np.array_equal(_loud(heard(follower.seen)), -said)
            assert done.response.output[0].content[0].transcript == "hello"
            ids.append({event.item_id for event in follower.seen if hasattr(event, "item_id")})

    ids: list[set[str]] = []
    async with serve() as served:
        await asyncio.gather(talk(served, 1), talk(served, 2))
    assert not ids[0] & ids[1]


async def test_who_hangs_up_leaves_nothing_behind(serve: Serve) -> None:
    async with serve() as served:
        async with served.client().realtime.connect(model="any") as connection:
            await connection.input_audio_buffer.append(audio=spoken(3))
            await Follower(connection).next("response.output_audio.delta")
            assert len(served.kernel.conversations) == 1
        await until(lambda: not served.kernel.conversations)
        assert served.kernel.measures().live == 0


async def test_a_client_of_the_beta(serve: Serve) -> None:
    async with serve() as served, served.client().beta.realtime.connect(model="gpt-4o-realtime-preview") as connection:
        follower = Follower(connection)
        session = (await follower.next("session.created")).session
        assert (session.modalities, session.input_audio_format) == (["text", "audio"], "pcm16")
        asked: Any = {"voice": "alloy", "output_audio_format": "g711_ulaw", "temperature": 0.8, "turn_detection": None}
        await connection.session.update(session=asked)
        session = (await follower.next("session.updated")).session
        assert (session.output_audio_format, session.turn_detection) == ("g711_ulaw", None)
        await connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello world"}]}
        )
        await follower.next("conversation.item.created")
        await connection.response.create(response={"modalities": ["text", "audio"]})
        await connection.input_audio_buffer.append(audio=spoken(4))
        response = (await follower.next("response.done")).response
        assert response.output[0].content[0].type == "audio"
        assert response.output[0].content[0].transcript == "hello world"
        assert {"response.audio.delta", "response.audio_transcript.delta"} < set(follower.types)
        assert not any("output_" in type for type in follower.types if "output_item" not in type)
        assert "conversation.item.done" not in follower.types


async def test_moshi_itself(serve: Serve) -> None:
    moshi = _config("processor", "moshi")(model_path="tiny", conversations=2, seed=1)
    async with serve(moshi) as served, served.client().realtime.connect(model="gpt-realtime") as connection:
        follower = Follower(connection)
        await connection.session.update(session={"type": "realtime", "instructions": "you like boats"})
        await follower.next("session.updated")
        await connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "good question"}]}
        )
        await connection.input_audio_buffer.append(audio=spoken(5))
        text = ""
        while "good question" not in text:
            text += (await follower.next("response.output_audio_transcript.delta")).delta
        await connection.response.cancel()
        response = (await follower.next("response.done")).response
        assert response.status == "cancelled"
        assert len(heard(follower.seen)) >= 5 * FRAME


def _config(kind: Any, name: str) -> Any:
    return load_plugins().get(kind, name).component.config


def _loud(pcm: Any) -> Any:
    """Return audio without the silence at its ends."""
    (loud,) = np.nonzero(pcm)
    return pcm[loud[0] : loud[-1] + 1]
