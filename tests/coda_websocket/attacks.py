"""What broken and hostile peers send: thousands of cases, each from a seed, each with what it may end with."""

from __future__ import annotations

import asyncio
import json
import random
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import sphn
import websockets

from coda_websocket.orders import COMMANDS

FRAME = 1_920
_MOST_S = 60.0


def opus_stream(frames: int) -> bytes:
    writer = sphn.OpusStreamWriter(24_000)
    tone = (0.3 * np.sin(np.arange(frames * FRAME) / 20)).astype(np.float32)
    return b"".join(writer.append_pcm(tone[start : start + FRAME]) for start in range(0, len(tone), FRAME))


def broken(good: bytes, rng: random.Random) -> bytes:
    """Return it with a few bytes changed, lost or added."""
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
        if not data:
            data = bytearray(1)
    return bytes(data)


def conversations(rng: random.Random, count: int) -> Iterator[tuple[set[int], list[bytes | str]]]:
    """Yield messages for ``/api/chat``, with the close codes that they may end with."""
    good = opus_stream(4)
    garbage = [b"OggS" + rng.randbytes(200) for _ in range(20)]
    for number in range(count):
        kind = number % 8
        if kind == 0:
            # A page may say that more of it is to come.
            yield {1000, 1007}, [b"\1" + rng.choice(garbage), b"\1" + rng.randbytes(300)]
        elif kind == 1:
            yield {1000, 1007}, [b"\1" + broken(good, rng)[:4000], b"\1" + rng.randbytes(400) * 2]
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


async def converse(served: Any, messages: list[bytes | str], patient: bool) -> int:
    """Send them; return the code that the connection ended with, 1013 for a refusal.

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


_UPGRADE = (
    b"GET /api/chat?codec=pcm HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_REQUESTS = (
    _UPGRADE.replace(b"chat?codec=pcm", b"chat?codec=mp3"),
    _UPGRADE.replace(b"chat?codec=pcm", b"events?conversation=0"),
    b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET /api/conversations?limit=3 HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic eDp5\r\n\r\n",
    b"POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"GET /page.js HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
)


def requests(rng: random.Random, count: int) -> Iterator[bytes]:
    """Yield requests that are broken, one way or another; none of them opens a conversation but by chance."""
    for _ in range(count):
        yield broken(rng.choice(_REQUESTS), rng)


def frames(rng: random.Random, count: int) -> Iterator[bytes]:
    """Yield what comes behind a good upgrade and is no WebSocket: wrong codes, bits, lengths and masks."""
    for _ in range(count):
        first, second = rng.randrange(256), rng.randrange(256)
        length = {126: struct.pack(">H", rng.randrange(65_536)), 127: struct.pack(">Q", rng.getrandbits(64))}
        yield bytes((first, second)) + length.get(second & 127, b"") + rng.randbytes(rng.randrange(200))


async def knock(url: str, data: bytes, *, upgraded: bool = False) -> bytes:
    """Send bytes to a server, as a WebSocket's or as they are, say no more, and return its answer until it closes."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    answer = b""
    try:
        async with asyncio.timeout(_MOST_S):
            with suppress(OSError):
                if upgraded:
                    writer.write(_UPGRADE)
                    answer += await reader.readuntil(b"\r\n\r\n")
                writer.write(data)
                writer.write_eof()
                answer += await reader.read()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return answer


def orders(rng: random.Random, count: int) -> Iterator[str]:
    """Yield commands for ``/api/events`` that are wrong, in JSON and out of it; none of them ends a conversation."""
    values: list[Any] = [None, True, -1, 1e308, "x", "\N{NULL}", [], {}, [[]], {"a": {}}, "\ud800", 10**30]
    harmless = [name for name in COMMANDS if name != "close"]
    for _ in range(count):
        order: dict[str, Any] = {"command": rng.choice([*harmless, "stop", "", *values])}
        for name in rng.sample(["id", "text", "deadline_s", "expires_s", "yields", "for_s", "x", ""], rng.randrange(4)):
            order[name] = rng.choice(values)
        text = json.dumps(order)
        if rng.random() < 0.05:
            place = rng.randrange(len(text))
            text = text[:place] + rng.choice('{}[]",:\\\0') + text[place + 1 :]
        # These two are done where they are right: they would change what the healthy one says.
        yield text if order["command"] not in ("say", "interrupt", "pause") else text.replace("{", '{"x": 0, ', 1)


async def command(served: Any, id: str, token: str, texts: Iterator[str]) -> int:
    """Give a conversation's commands, on as many connections as that takes; return how many were answered."""
    answered = 0
    text = next(texts, None)
    while text is not None:
        async with websockets.connect(
            served.ws(f"/api/events?conversation={id}"),
            additional_headers={"Authorization": f"Bearer {token}"},
            max_queue=None,
        ) as socket:
            with suppress(websockets.ConnectionClosed):
                while text is not None:
                    await socket.send(text)
                    text = next(texts, None)
                    while json.loads(await socket.recv())["type"] != "reply":
                        pass
                    answered += 1
            assert socket.close_code in (None, 1007), (socket.close_code, socket.close_reason)
    return answered
