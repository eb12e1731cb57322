"""A client that keeps to nothing."""

from __future__ import annotations

import base64
import json
import socket
from typing import Any

import pytest
import websockets
from coda_core import load_plugins
from websockets.typing import Subprotocol

from coda_openai_realtime.client_events import fields_of
from coda_openai_realtime.outbox import Outbox, Stalled
from coda_openai_realtime.refusal import Refused
from coda_openai_realtime_testing import Connect, Raw, Serve, spoken, until

MESSAGE = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}
WORDS = [{"type": "input_text", "text": "hello " * 200}]
LONG = "x" * 3000

WRONG: list[tuple[str | bytes | dict[str, Any], str]] = [
    ("", "invalid_json"),
    ("{", "invalid_json"),
    ("[]", "invalid_json"),
    ("null", "invalid_json"),
    ('"hello"', "invalid_json"),
    ('{"type": NaN}', "invalid_json"),
    ("[" * 20_000, "invalid_json"),
    (b"\x00\xff\x00", "invalid_json"),
    ({}, "missing_required_parameter"),
    ({"type": None}, "missing_required_parameter"),
    ({"type": 7}, "invalid_type"),
    ({"type": "session.destroy"}, "invalid_value"),
    ({"type": "output_audio_buffer.clear"}, "invalid_value"),
    ({"type": "response.cancel", "event_id": 7}, "invalid_type"),
    ({"type": "response.cancel", "event_id": LONG}, "invalid_type"),
    ({"type": "response.cancel", "response_id": 7}, "invalid_type"),
    ({"type": "input_audio_buffer.commit", "audio": ""}, "unknown_parameter"),
    ({"type": "input_audio_buffer.append"}, "missing_required_parameter"),
    ({"type": "input_audio_buffer.append", "audio": 7}, "invalid_type"),
    ({"type": "input_audio_buffer.append", "audio": "no base64!"}, "invalid_value"),
    ({"type": "input_audio_buffer.append", "audio": "Zm9vY"}, "invalid_value"),
    ({"type": "input_audio_buffer.append", "audio": "ÄÖÜ"}, "invalid_value"),
    ({"type": "input_audio_buffer.append", "audio": base64.b64encode(b"abc").decode()}, "invalid_value"),
    ({"type": "session.update"}, "invalid_type"),
    ({"type": "session.update", "session": []}, "invalid_type"),
    ({"type": "session.update", "session": {"type": "transcription"}}, "invalid_value"),
    ({"type": "session.update", "session": {"colour": "red"}}, "unknown_parameter"),
    ({"type": "session.update", "session": {"audio": 7}}, "invalid_type"),
    ({"type": "session.update", "session": {"audio": {"input": {"format": "pcm16"}}}}, "invalid_type"),
    ({"type": "session.update", "session": {"audio": {"input": {"format": {"type": {}}}}}}, "invalid_type"),
    ({"type": "session.update", "session": {"audio": {"input": {"format": {"type": "audio/mp3"}}}}}, "invalid_value"),
    (
        {"type": "session.update", "session": {"audio": {"output": {"format": {"type": "audio/pcm", "rate": 8000}}}}},
        "invalid_value",
    ),
    ({"type": "session.update", "session": {"audio": {"output": {"voice": 7}}}}, "invalid_type"),
    ({"type": "session.update", "session": {"audio": {"input": {"turn_detection": "vad"}}}}, "invalid_type"),
    ({"type": "session.update", "session": {"audio": {"input": {"turn_detection": {"kind": 1}}}}}, "unknown_parameter"),
    ({"type": "session.update", "session": {"output_modalities": ["video"]}}, "invalid_value"),
    ({"type": "session.update", "session": {"instructions": ["be kind"]}}, "invalid_type"),
    ({"type": "session.update", "session": {"instructions": "\ud800"}}, "invalid_value"),
    ({"type": "session.update", "session": {"instructions": LONG}}, "string_above_max_length"),
    ({"type": "conversation.item.create"}, "invalid_type"),
    ({"type": "conversation.item.create", "item": {"type": "function_call_output"}}, "unsupported_item"),
    ({"type": "conversation.item.create", "item": {**MESSAGE, "role": "robot"}}, "invalid_value"),
    ({"type": "conversation.item.create", "item": {**MESSAGE, "content": []}}, "invalid_value"),
    ({"type": "conversation.item.create", "item": {**MESSAGE, "content": "hello"}}, "invalid_value"),
    ({"type": "conversation.item.create", "item": {**MESSAGE, "content": [{"type": "input_image"}]}}, "invalid_value"),
    (
        {"type": "conversation.item.create", "item": {**MESSAGE, "content": [{"type": "input_text", "text": LONG}]}},
        "string_above_max_length",
    ),
    (
        {"type": "conversation.item.create", "item": {**MESSAGE, "content": [{"type": "input_text", "text": "  "}]}},
        "invalid_value",
    ),
    ({"type": "conversation.item.create", "item": MESSAGE, "previous_item_id": "nothing"}, "item_not_found"),
    ({"type": "conversation.item.delete", "item_id": "nothing"}, "item_not_found"),
    ({"type": "conversation.item.retrieve"}, "missing_required_parameter"),
    (
        {"type": "conversation.item.truncate", "item_id": "x", "content_index": 1, "audio_end_ms": 0},
        "invalid_value",
    ),
    (
        {"type": "conversation.item.truncate", "item_id": "x", "content_index": 0, "audio_end_ms": -1},
        "invalid_value",
    ),
    (
        {"type": "conversation.item.truncate", "item_id": "x", "content_index": 0, "audio_end_ms": 1.5},
        "invalid_type",
    ),
    ({"type": "response.create", "response": 7}, "invalid_type"),
    ({"type": "response.create", "response": {"conversation": "none"}}, "unsupported_response"),
    ({"type": "response.create", "response": {"input": [MESSAGE]}}, "unsupported_response"),
    ({"type": "response.create", "response": {"metadata": {"a": 7}}}, "invalid_value"),
]


async def test_what_is_wrong_is_an_error_event_and_the_session_goes_on(serve: Serve, raw: Connect) -> None:
    async with serve(max_messages_per_s=1e6) as served, raw(served.url) as client:
        await client.next("conversation.created")
        for message, code in WRONG:
            await client.socket.send(json.dumps(message) if isinstance(message, dict) else message)
            event = await client.next()
            assert (event["type"], event["error"]["code"]) == ("error", code), message
            assert event["error"]["type"] == "invalid_request_error"
            assert event["error"]["message"]
        await client.send(type="session.update", session=None, event_id="mine")
        assert (await client.next("error"))["error"]["event_id"] == "mine"
        await client.send(type="input_audio_buffer.append", audio=spoken(2))
        assert (await client.next("response.done"))["response"]["status"] == "completed"


async def test_an_item_that_cannot_be_spoken_is_not_there(serve: Serve, raw: Connect) -> None:
    async with serve() as served, raw(served.url) as client:
        item = {**MESSAGE, "id": "mine", "content": [{"type": "input_text", "text": LONG}]}
        await client.send(type="conversation.item.create", item=item)
        await client.next("error")
        await client.send(type="conversation.item.create", item={**MESSAGE, "id": "mine"})
        assert (await client.next("conversation.item.done"))["item"]["id"] == "mine"
        await client.send(type="conversation.item.create", item={**MESSAGE, "id": "mine"})
        assert (await client.next("error"))["error"]["code"] == "item_id_taken"


async def test_a_beta_client_that_is_wrong(serve: Serve, raw: Connect) -> None:
    options = {"additional_headers": {"OpenAI-Beta": "realtime=v1"}}
    async with serve() as served, raw(served.url, **options) as client:
        await client.next("conversation.created")
        wrong: list[Any] = [{"audio": 7}, {"input_audio_format": "mp3"}, {"input_audio_format": {}}, {"voice": 7}]
        for session in wrong:
            await client.send(type="session.update", session=session, event_id="mine")
            assert (await client.next())["error"]["event_id"] == "mine"


async def test_a_processor_that_cannot_speak_texts_or_take_prompts(serve: Serve, raw: Connect) -> None:
    echo = load_plugins().get("processor", "echo").component.config
    async with serve(echo()) as served, raw(served.url) as client:
        await client.send(type="conversation.item.create", item=MESSAGE)
        assert (await client.next("error"))["error"]["code"] == "unsupported_item"
        detection = {"type": "server_vad", "interrupt_response": True}
        session = {"instructions": "be kind", "audio": {"input": {"turn_detection": detection}}}
        await client.send(type="session.update", session=session)
        session = (await client.next("session.updated"))["session"]
        assert session["instructions"] == ""
        assert session["audio"]["input"]["turn_detection"]["interrupt_response"] is False
        # What cannot be silenced is not passed on.
        await client.send(type="input_audio_buffer.append", audio=spoken(20))
        await client.next("response.output_audio.delta")
        await client.send(type="response.cancel")
        assert (await client.next("response.done"))["response"]["status"] == "cancelled"
        client.seen.clear()
        await client.next("input_audio_buffer.committed")
        assert not any(event["type"].startswith("response") for event in client.seen)


async def test_a_message_that_is_too_large_ends_it(serve: Serve, raw: Connect) -> None:
    async with serve(max_message_bytes=100_000) as served:
        async with raw(served.url) as client:
            await client.send(type="input_audio_buffer.append", audio="A" * 200_000)
            assert await client.until_closed() == 1009
        await until(lambda: not served.kernel.conversations)


async def test_more_than_a_few_large_messages_at_once_end_it(serve: Serve, raw: Connect) -> None:
    async with serve(max_message_bytes=4096, max_bytes_per_s=1024) as served, raw(served.url) as client:
        await client.next("conversation.created")
        for _ in range(6):
            await client.send(type="input_audio_buffer.append", audio="A" * 4000)
        assert await client.until_closed() == 1008
        assert client.seen[-1]["error"]["code"] == "rate_limit_exceeded"


async def test_too_much_audio_is_refused_and_too_many_messages_end_it(serve: Serve, raw: Connect) -> None:
    async with serve(max_messages_per_s=10, max_audio_ahead_s=4.0) as served, raw(served.url) as client:
        await client.next("conversation.created")
        for _ in range(2):
            await client.send(type="input_audio_buffer.append", audio=spoken(60))
        assert (await client.next("error"))["error"]["code"] == "input_audio_buffer_full"
        for _ in range(100):
            await client.send(type="input_audio_buffer.clear")
        assert await client.until_closed() == 1008
        assert client.seen[-1]["error"]["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize(
    ("settings", "code"),
    [({"idle_timeout_s": 1.0}, "session_idle"), ({"max_session_s": 0.5}, "session_expired")],
)
async def test_sessions_end(serve: Serve, raw: Connect, settings: dict[str, float], code: str) -> None:
    async with serve(**settings) as served, raw(served.url) as client:
        assert await client.until_closed() == 1008
        assert client.seen[-1]["error"]["code"] == code


async def test_more_connections_than_may_be(serve: Serve, raw: Connect) -> None:
    async with serve(max_connections=1) as served, raw(served.url) as client:
        await client.next("session.created")
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with raw(served.url):
                pass
        response = refused.value.response
        assert (response.status_code, response.headers["Retry-After"]) == (503, "10")
        assert json.loads(response.body)["error"]["code"] == "too_many_connections"


async def test_other_addresses_are_not_there(serve: Serve) -> None:
    async with serve() as served:
        for path in ("/v1", "/v1/realtime/more", "/"):
            with pytest.raises(websockets.InvalidStatus) as refused:
                async with websockets.connect(served.url.removesuffix("/v1") + path):
                    pass
            assert refused.value.response.status_code == 404
        async with websockets.connect(served.url.removesuffix("/v1") + "/realtime?model=any") as socket:
            assert "session.created" in str(await socket.recv())


async def test_a_page_shows_its_token_as_a_subprotocol(serve: Serve, raw: Connect) -> None:
    def offered(token: str) -> list[Subprotocol]:
        return [Subprotocol(name) for name in ("realtime", f"openai-insecure-api-key.{token}")]

    async with serve(token="s3cret") as served:
        origin: Any = "https://example.org"
        async with raw(served.url, subprotocols=offered("s3cret"), origin=origin) as client:
            assert client.socket.subprotocol == "realtime"
            assert (await client.next())["type"] == "session.created"
        async with raw(served.url, subprotocols=offered("wrong"), origin=origin) as client:
            assert (await client.next())["error"]["code"] == "invalid_api_key"
            assert await client.until_closed() == 1008
        beta = [*offered("s3cret"), Subprotocol("openai-beta.realtime-v1")]
        async with raw(served.url, subprotocols=beta) as client:
            assert (await client.next())["session"]["input_audio_format"] == "pcm16"
        assert not served.kernel.conversations or len(served.kernel.conversations) == 1


async def test_pages_of_anywhere_cannot_reach_a_server_without_a_token(serve: Serve, raw: Connect) -> None:
    async with serve(allowed_origins=("https://example.org",)) as served:
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with raw(served.url, origin="https://example.com"):
                pass
        assert refused.value.response.status_code == 403
        own: Any = served.url.removesuffix("/v1").replace("ws", "http", 1)
        for origin in ("https://example.org", own):
            async with raw(served.url, origin=origin) as client:
                assert (await client.next())["type"] == "session.created"


async def test_what_is_sent_without_waiting_for_anything_is_answered_in_order(serve: Serve, raw: Connect) -> None:
    async with serve() as served, raw(served.url) as client:
        for number in range(50):
            await client.send(type="conversation.item.retrieve", item_id="nothing", event_id=f"event-{number}")
        for number in range(50):
            assert (await client.next("error"))["error"]["event_id"] == f"event-{number}"


async def test_a_conversation_that_is_closed_here_ends_the_session(serve: Serve, raw: Connect) -> None:
    async with serve() as served, raw(served.url) as client:
        await client.next("conversation.created")
        (conversation,) = served.kernel.conversations.values()
        await conversation.close()
        assert await client.until_closed() == 1000


async def test_a_fault_of_the_model_fails_the_response_and_ends_the_session(serve: Serve, raw: Connect) -> None:
    async with serve() as served, raw(served.url) as client:
        await client.send(type="conversation.item.create", item={**MESSAGE, "content": WORDS})
        await client.next("response.output_audio_transcript.delta")
        (conversation,) = served.kernel.conversations.values()
        conversation.break_off("the device fell off the bus", "fault")
        response = (await client.next("response.done"))["response"]
        assert (response["status"], response["status_details"]["error"]["code"]) == ("failed", "conversation_failed")
        error = (await client.next("error"))["error"]
        assert (error["type"], error["message"]) == ("server_error", "the device fell off the bus")
        assert await client.until_closed() == 1011


async def test_a_conversation_that_was_parked_goes_on(serve: Serve, raw: Connect) -> None:
    async with serve(hold_line_s=1.0) as served, raw(served.url) as client:
        await client.send(type="input_audio_buffer.append", audio=spoken(3))
        await client.next("response.done")
        (conversation,) = served.kernel.conversations.values()
        await until(lambda: conversation.status == "paused")
        await conversation.park()
        await client.send(type="input_audio_buffer.append", audio=spoken(3))
        assert (await client.next("response.done"))["response"]["status"] == "completed"
        await until(lambda: conversation.status == "paused")
        await conversation.park()
        await client.send(type="conversation.item.create", item=MESSAGE)
        assert (await client.next("response.done"))["response"]["status"] == "completed"


async def test_a_server_that_ends_says_that_it_goes_away(serve: Serve) -> None:
    async with serve() as served:
        socket = await websockets.connect(f"{served.url}/realtime")
        client = Raw(socket)
        await client.next("conversation.created")
    assert await client.until_closed() == 1001


async def test_a_client_that_does_not_read_loses_audio_and_no_event(serve: Serve, raw: Connect) -> None:
    async with serve(send_buffer_frames=5) as served:
        link = socket.socket()
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, _, port = served.url.removeprefix("ws://").removesuffix("/v1").partition(":")
        link.connect((host, int(port)))
        async with raw(served.url, sock=link, max_queue=1) as client:
            await client.send(type="input_audio_buffer.append", audio=spoken(120))
            (conversation,) = served.kernel.conversations.values()
            await until(lambda: conversation.frames >= 110)
            done = await client.next("response.done")
            assert done["response"]["status"] == "completed"
            types = [event["type"] for event in client.seen]
            assert 5 < types.count("response.output_audio.delta") < 110
            assert types[0] == "session.created"
            assert types.index("response.created") < types.index("response.content_part.added")
            assert "input_audio_buffer.committed" in types


async def test_a_client_that_asks_and_does_not_read_is_not_listened_to(serve: Serve, raw: Connect) -> None:
    async with serve(max_messages_per_s=1e6) as served, raw(served.url) as client:
        item = {**MESSAGE, "role": "system", "id": "long", "content": [{"type": "input_text", "text": LONG * 6}]}
        await client.send(type="conversation.item.create", item=item)
        for _ in range(400):
            await client.send(type="conversation.item.retrieve", item_id="long")
        for _ in range(400):
            assert (await client.next("conversation.item.retrieved"))["item"]["content"][0]["text"] == LONG * 6


def test_a_client_too_slow_for_audio_loses_the_oldest_and_no_event() -> None:
    outbox = Outbox(2)
    audio = [{"type": "response.output_audio.delta", "delta": str(number)} for number in range(5)]
    outbox.put([audio[0], {"type": "response.created"}, *audio[1:]])
    assert outbox.dropped == 3
    assert list(outbox._events) == [{"type": "response.created"}, *audio[3:]]
    outbox.drop_audio()
    outbox.put(audio[:1])
    assert list(outbox._events) == [{"type": "response.created"}, audio[0]]
    with pytest.raises(Stalled):
        outbox.put([{"type": "error"}] * 10_001)


def test_numbers_that_are_none_are_no_json() -> None:
    with pytest.raises(Refused):
        fields_of('{"type": Infinity}')
