"""`/api/chat` on a real socket, with a plain client and a real model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import websockets
from numpy.typing import NDArray

from coda_core import AudioFrame, ExtractedText, Kernel, SlotOptions, Stack
from coda_moshi.config import EchoConfig, MoshiConfig
from coda_state.config import ConversationManagerConfig
from coda_streaming.config import OfflineConfig, RealtimeConfig

FRAME = 1_920
FRAMES = 25

Voice = Callable[[int, int], NDArray[np.float32]]


def tiny(conversations: int = 2) -> Stack:
    return Stack(
        processor=MoshiConfig(model_path="tiny", conversations=conversations), streaming_manager=OfflineConfig()
    )


async def alone(kernel: Kernel, pcm: NDArray[np.float32], options: SlotOptions) -> tuple[NDArray[np.float32], str]:
    """What the same caller hears and reads in the same process."""
    async with kernel.open_conversation(options=options) as conversation:
        output = conversation.subscribe(AudioFrame, ExtractedText, size=1_000)
        await conversation.send(pcm)
        await conversation.drain()
        await conversation.close()
        items = [item async for item in output]
    vocabulary = kernel.info.vocabulary
    tokens = [token for item in items if isinstance(item, ExtractedText) for token in item.tokens]
    said = b"".join((b" " if token in vocabulary.word_starts else b"") + vocabulary.pieces[token] for token in tokens)
    frames = [item.pcm for item in items if isinstance(item, AudioFrame) and item.valid]
    return np.concatenate(frames), said.decode("utf-8", "replace")


async def test_text_and_audio_are_those_of_the_same_process(serve: Any, calling: Any, voice: Voice) -> None:
    pcm = voice(1, FRAMES)
    async with serve(tiny(), send_buffer_frames=1_000) as served:
        expected, said = await alone(served.kernel, pcm, SlotOptions(seed=7, text_temperature=0.5, audio_top_k=9))
        query = "codec=pcm&seed=7&text_temperature=0.5&audio_topk=9&metadata=1"
        async with calling(served, query) as caller:
            await caller.read()
            (facts,) = caller.metadata
            assert (facts["seed"], facts["text_temperature"], facts["audio_topk"]) == (7, 0.5, 9)
            await caller.send(pcm)
            heard = await caller.hear(FRAMES - 1)
            conversation = served.kernel.conversations[caller.id]
            await conversation.close()
            assert await caller.until_closed() == (1000, "the conversation has ended")
    np.testing.assert_allclose(heard, np.clip(expected, -1, 32767 / 32768), atol=0.5001 / 32768)
    assert said
    assert caller.text == said


async def test_opus_goes_both_ways_and_keeps_the_length(serve: Any, calling: Any) -> None:
    tone = (0.3 * np.sin(2 * np.pi * 220 * np.arange(FRAMES * FRAME) / 24_000)).astype(np.float32)
    async with serve() as served, calling(served, "") as caller:
        assert caller.handshakes == [bytes(9)]
        await caller.send(tone)
        heard = await caller.hear(FRAMES - 1)
    assert len(heard) == (FRAMES - 1) * FRAME
    # Coded twice, it is later by both codecs' own delays, and is the same tone.
    spectrum = np.abs(np.fft.rfft(heard[FRAME * 10 :]))
    peak = np.argmax(spectrum) * 24_000 / len(heard[FRAME * 10 :])
    assert abs(peak - 220) < 2
    assert abs(np.sqrt(np.mean(heard[FRAME * 10 :] ** 2)) - 0.3 / np.sqrt(2)) < 0.02


async def test_an_echo_comes_back_to_the_bit(serve: Any, calling: Any, voice: Voice) -> None:
    pcm = voice(2, 20)
    async with serve() as served, calling(served) as caller:
        await caller.send(pcm)
        assert np.array_equal(await caller.hear(19), pcm[: 19 * FRAME])


async def test_kinds_that_are_not_known_are_discarded(serve: Any, calling: Any, voice: Voice) -> None:
    pcm = voice(3, 3)
    async with serve() as served, calling(served) as caller:
        for message in (b"\x07\x05hello", b"\xff", b"\x06", b"\x00\x00\x00", b"\x02hello", b"\x04{}", b"\x03\x01"):
            await caller.socket.send(message)
        await caller.send(pcm)
        assert np.array_equal(await caller.hear(2), pcm[: 2 * FRAME])


async def test_pause_is_honoured_and_what_is_said_meanwhile_is_not_heard(
    serve: Any, calling: Any, voice: Voice
) -> None:
    pcm = voice(4, 6)
    async with serve() as served, calling(served) as caller:
        await caller.send(pcm[: 2 * FRAME])
        await caller.hear(1)
        await caller.socket.send(b"\x03\x02")
        await caller.send(pcm[2 * FRAME : 4 * FRAME])
        await caller.socket.send(b"\x03\x00")
        await caller.send(pcm[4 * FRAME :])
        expected = np.concatenate([pcm[: 2 * FRAME], pcm[4 * FRAME : 5 * FRAME]])
        assert np.array_equal(await caller.hear(3), expected)


async def test_restart_begins_a_fresh_conversation_on_the_same_socket(serve: Any, calling: Any, voice: Voice) -> None:
    async with serve() as served, calling(served, "codec=pcm&seed=5&metadata=1") as caller:
        await caller.send(voice(5, 3))
        await caller.hear(2)
        first = caller.id
        await caller.socket.send(b"\x03\x03")
        while len(caller.metadata) < 2:
            await caller.read()
        assert len(caller.handshakes) == 2
        assert caller.metadata[0]["conversation"] == first != caller.metadata[1]["conversation"]
        assert list(served.kernel.conversations) == [caller.metadata[1]["conversation"]]
        caller.pcm.clear()
        await caller.send(voice(6, 2))
        assert np.array_equal(await caller.hear(1), voice(6, 1))


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ("hello", 1003, "a text message"),
        (b"", 1007, "an empty message"),
        (b"\x03", 1007, "a control message of 0 bytes"),
        (b"\x03\x09", 1007, "there is no control 9"),
        (b"\x03\x00\x00", 1007, "a control message of 2 bytes"),
        (b"\x01\x00\x00\x00", 1007, "no whole number of 16-bit samples"),
    ],
)
async def test_what_breaks_the_protocol_ends_the_connection_with_a_code_and_an_error(
    serve: Any, calling: Any, message: bytes | str, code: int, reason: str
) -> None:
    async with serve() as served, calling(served) as caller:
        await caller.socket.send(message)
        closed, said = await caller.until_closed()
        assert closed == code
        assert reason in said
        assert [error for error in caller.errors if reason in error]
        assert served.kernel.conversations == {}


async def test_bad_opus_ends_the_connection(serve: Any, calling: Any) -> None:
    async with serve() as served, calling(served, "codec=opus") as caller:
        await caller.socket.send(b"\x01" + b"this is no Ogg page at all" * 4)
        code, reason = await caller.until_closed()
        assert code == 1007
        assert "ogg" in reason


async def test_a_full_house_is_refused_before_the_upgrade(serve: Any, calling: Any) -> None:
    stack = Stack(processor=EchoConfig(conversations=1))
    async with serve(stack) as served, calling(served):
        with pytest.raises(websockets.InvalidStatus) as refusal:
            async with calling(served):
                pass
        response = refusal.value.response
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) > 0
        answer = json.loads(response.body or b"")
        assert answer["capacity"] == 1
        assert answer["load"] >= 0
        assert "all 1 slots are taken" in answer["error"]


async def test_a_page_in_a_full_house_is_told_by_a_message_and_the_close_code(serve: Any, calling: Any) -> None:
    stack = Stack(processor=EchoConfig(conversations=1))
    async with (
        serve(stack) as served,
        calling(served),
        websockets.connect(served.ws("/api/chat"), origin=websockets.Origin(served.url)) as page,
    ):
        message = await page.recv()
        await page.wait_closed()
        assert message == b"\5" + (page.close_reason or "").encode()
        assert page.close_code == 1013
        assert "capacity 1" in (page.close_reason or "")
        assert "load" in (page.close_reason or "")


@pytest.mark.parametrize(
    "query",
    [
        "codec=mp3",
        "seed=x",
        "text_temperature=-1",
        "audio_temperature=nan",
        "audio_topk=0",
        "text_topk=1.5",
        "text_prompt=" + "x" * 3000,
    ],
)
async def test_a_query_that_makes_no_sense_is_refused_with_words(serve: Any, query: str) -> None:
    async with serve() as served:
        with pytest.raises(websockets.InvalidStatus) as refusal:
            async with websockets.connect(served.ws(f"/api/chat?{query}")):
                pass
        assert refusal.value.response.status_code == 400
        assert query.partition("=")[0] in json.loads(refusal.value.response.body or b"")["error"]


async def test_a_prompt_that_the_processor_cannot_take_is_refused(serve: Any) -> None:
    async with serve() as served:
        with pytest.raises(websockets.InvalidStatus) as refusal:
            async with websockets.connect(served.ws("/api/chat?text_prompt=You+are+kind.")):
                pass
        assert refusal.value.response.status_code == 400
        assert "prompt" in json.loads(refusal.value.response.body or b"")["error"]


async def test_what_is_interrupted_is_not_sent(serve: Any, calling: Any, voice: Voice, until: Any) -> None:
    async with serve(tiny(1), send_buffer_frames=1_000) as served, calling(served) as caller:
        conversation = served.kernel.conversations[caller.id]
        await caller.send(voice(8, 10))
        await caller.hear(9)
        await conversation.interrupt()
        await caller.send(voice(9, 5))
        await caller.hear(14)
        assert conversation.frames == 15


async def test_many_callers_at_once_hear_what_each_hears_alone(serve: Any, calling: Any, voice: Voice) -> None:
    async with serve(tiny(3), send_buffer_frames=1_000) as served:

        async def call(seed: int) -> tuple[NDArray[np.float32], str]:
            async with calling(served, f"codec=pcm&seed={seed}") as caller:
                await caller.send(voice(seed, FRAMES))
                heard = await caller.hear(FRAMES - 1)
                await served.kernel.conversations[caller.id].close()
                await caller.until_closed()
                return heard, caller.text

        expected = [await call(seed) for seed in range(3)]
        together = await asyncio.gather(*(call(seed) for seed in range(3)))
        for (heard, said), (heard_alone, said_alone) in zip(together, expected, strict=True):
            assert said == said_alone
            np.testing.assert_allclose(heard, heard_alone, atol=1.001 / 32768)


@pytest.mark.parametrize(("query", "recorded"), [("", True), ("&record=0", False), ("&record=1", True)])
async def test_a_caller_is_told_that_it_is_recorded_and_may_refuse(
    serve: Any, calling: Any, query: str, recorded: bool
) -> None:
    stack = Stack(
        processor=EchoConfig(),
        streaming_manager=RealtimeConfig(),
        state_manager=ConversationManagerConfig(record_audio=True),
    )
    async with serve(stack) as served, calling(served, f"codec=pcm&metadata=1{query}") as caller:
        while not caller.metadata:
            await caller.read()
        assert caller.metadata[0]["recorded"] is recorded
        assert caller.socket.response.headers["Coda-Recorded"] == ("yes" if recorded else "no")
        assert served.kernel.conversations[caller.id].recorded is recorded
    async with serve() as served, calling(served, "codec=pcm&metadata=1&record=1") as caller:
        # It is for the stack to say whether there is a recording at all.
        while not caller.metadata:
            await caller.read()
        assert caller.metadata[0]["recorded"] is False
