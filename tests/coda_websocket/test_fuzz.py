"""Thousands of broken peers, while healthy ones talk and notice nothing."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import sphn
import websockets
from hypothesis import given
from hypothesis import strategies as st

from coda_core import ExtractedText, Stack
from coda_moshi.config import MoshiConfig
from coda_streaming.config import OfflineConfig
from coda_websocket.opus_process import ANSWER, DECODE, ENCODE, Coder
from coda_websocket.orders import COMMANDS, BadOrder, read_order
from coda_websocket.protocol import Kind, Malformed, parse_message

FRAME = 1_920
HEALTHY = 10
FRAMES = 12

CODES = {1000, 1003, 1007, 1008, 1009, 1013}
"""1000 where the peer itself closed, having done no harm."""


@given(st.binary(max_size=200))
def test_a_message_is_of_a_known_kind_or_discarded_or_malformed(data: bytes) -> None:
    try:
        message = parse_message(data)
    except Malformed:
        assert data == b"" or data[0] == Kind.CONTROL
    else:
        assert (message is None) == (data[0] > Kind.PING)


_fields = st.sampled_from(["command", "id", "text", "deadline_s", "expires_s", "yields", "for_s"]) | st.text(max_size=5)
_values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from(sorted(COMMANDS))
)


@given(_values | st.lists(_values, max_size=3) | st.dictionaries(_fields, _values, max_size=5))
def test_a_command_is_read_or_refused(value: Any) -> None:
    try:
        order = read_order(json.dumps(value))
    except BadOrder:
        assert isinstance(value, dict)
    except ValueError:
        assert not isinstance(value, dict) or any(_odd(each) for each in value.values())
    else:
        assert value["command"] == order.command in COMMANDS


@given(st.text(max_size=300))
def test_text_that_is_no_command_is_a_value_error(text: str) -> None:
    with suppress(ValueError):
        read_order(text)


def test_thousands_of_broken_streams_leave_a_coder_whole() -> None:
    """In this very process: what would kill it would end the test."""
    good = _opus_stream(6)
    rng = random.Random(0)
    coder = Coder()
    refused = 0
    for number in range(3_000):
        data = _broken(good, rng)
        cut = rng.randrange(1, 400)
        for start in range(0, len(data), cut):
            well, answer = coder.answer(number, DECODE, data[start : start + cut])
            if not well:
                refused += 1
                assert answer.decode()
                break
        coder.forget(number)
    assert refused > 1_000
    well, coded = coder.answer(9_999, ENCODE, np.zeros(FRAME, np.float32).tobytes())
    assert well
    assert coded.startswith(b"OggS")
    assert ANSWER.pack(len(coded), well)


async def test_broken_peers_disturb_nobody(serve: Any, calling: Any, voice: Any) -> None:
    stack = Stack(
        processor=MoshiConfig(model_path="tiny", conversations=HEALTHY + 6), streaming_manager=OfflineConfig()
    )
    async with serve(stack, send_buffer_frames=1_000, max_message_bytes=4096, grace_s=0.0) as served:
        going = asyncio.Event()

        async def healthy(seed: int) -> list[tuple[int, ...]]:
            async with calling(served, f"codec=pcm&seed={seed}") as caller:
                conversation = served.kernel.conversations[caller.id]
                output = conversation.subscribe(ExtractedText)
                pcm = voice(seed, FRAMES)
                for start in range(0, len(pcm), FRAME):
                    await caller.send(pcm[start : start + FRAME])
                    await caller.hear(start // FRAME)
                    if start == FRAME:
                        going.set()
                await caller.hear(FRAMES - 1)
                await conversation.close()
                assert (await caller.until_closed())[0] == 1000
                return [word.tokens async for word in output]

        quiet = await asyncio.gather(*(healthy(seed) for seed in range(HEALTHY)))
        going.clear()
        talking = asyncio.gather(*(healthy(seed) for seed in range(HEALTHY)))
        await going.wait()
        attacks = _attacks(random.Random(1))
        codes: set[int] = set()

        async def attacker() -> None:
            for _ in range(24):
                expected, messages = next(attacks)
                code = await _attack(served, messages, 1000 not in expected)
                assert code in expected | {1013}, (code, messages[0][:20])
                codes.add(code)

        await asyncio.gather(*(attacker() for _ in range(6)))
        assert await talking == quiet
        assert all(quiet)
        assert codes >= {1000, 1003, 1007, 1008, 1009}
    assert not served.kernel.conversations


async def _attack(served: Any, messages: list[bytes | str], patient: bool) -> int:
    """Send what a broken peer sends; return the code that the connection ended with, 1013 for a refusal.

    A patient one waits to be thrown out; others hang up themselves.
    """
    codec = "pcm" if len(messages) % 2 else "opus"
    try:
        async with websockets.connect(served.ws(f"/api/chat?codec={codec}"), max_queue=None) as socket:
            with suppress(websockets.ConnectionClosed):
                for message in messages:
                    await socket.send(message)
                if not patient:
                    await socket.close()
            await socket.wait_closed()
            return socket.close_code or 1006
    except websockets.InvalidStatus as refusal:
        return 1013 if refusal.response.status_code == 503 else 0


def _attacks(rng: random.Random) -> Iterator[tuple[set[int], list[bytes | str]]]:
    """Yield what to send, with the codes that it may end with."""
    good = _opus_stream(4)
    garbage = [b"OggS" + rng.randbytes(200) for _ in range(20)]
    for number in itertools.count():
        kind = number % 8
        if kind == 0:
            yield {1007}, [b"\1" + rng.choice(garbage), b"\1" + rng.randbytes(300)]
        elif kind == 1:
            yield {1000, 1007}, [b"\1" + _broken(good, rng)[:4000], b"\1" + rng.randbytes(400) * 2]
        elif kind == 2:
            yield {1003}, ["text", "more text"]
        elif kind == 3:
            yield {1009}, [b"\1" + rng.randbytes(5_000)]
        elif kind == 4:
            yield {1007}, [rng.choice([b"", b"\3", b"\3\xff", b"\3\0\0", b"\1\0"])]
        elif kind == 5:
            yield {1007}, [b"\1" + rng.randbytes(rng.randrange(1, 2_000) * 2 + 1)]
        elif kind == 6:
            yield {1008}, [b"\x09" + rng.randbytes(5) for _ in range(1_500)]
        else:
            yield {1000}, [b"\4" + b"{" * 3_000, b"\2\xff\xfe", b"\5\0", b"\6", b"\xff", b"\3\2", b"\3\0", b"\3\3"]


def _opus_stream(frames: int) -> bytes:
    writer = sphn.OpusStreamWriter(24_000)
    tone = (0.3 * np.sin(np.arange(frames * FRAME) / 20)).astype(np.float32)
    return b"".join(writer.append_pcm(tone[start : start + FRAME]) for start in range(0, len(tone), FRAME))


def _broken(good: bytes, rng: random.Random) -> bytes:
    data = bytearray(good)
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(data))
        match rng.randrange(5):
            case 0:
                data[place] = rng.randrange(256)
            case 1:
                del data[place : place + rng.randrange(1, 100)]
            case 2:
                data[place:place] = rng.randbytes(rng.randrange(1, 100))
            case 3:
                data = data[:place] or bytearray(1)
            case 4:
                data = data[place:]
    return bytes(data)


def _odd(value: Any) -> bool:
    return isinstance(value, float) and (value != value or value in (float("inf"), float("-inf")))
