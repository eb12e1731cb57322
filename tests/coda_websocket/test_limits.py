"""What a peer may take, and what becomes of one that takes more."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import websockets
from hypothesis import given
from hypothesis import strategies as st

from coda_core import Stack
from coda_core.testing import ManualClock
from coda_moshi.config import EchoConfig
from coda_streaming.config import RealtimeConfig
from coda_websocket.limits import Gate
from coda_websocket.opus import OpusPool

FRAME = 1_920


@given(st.lists(st.sampled_from("abc"), max_size=60))
def test_a_gate_counts_in_total_and_by_address(comers: list[str]) -> None:
    gate = Gate(total=5, per_address=2)
    inside: list[str] = []
    for comer in comers:
        fits = len(inside) < 5 and inside.count(comer) < 2
        assert gate.enter(comer) == fits
        if fits:
            inside.append(comer)
        elif len(inside) % 2:
            gate.leave(inside.pop(0))
    assert len(gate) == len(inside)


async def test_audio_faster_than_real_time_ends_the_connection(serve: Any, calling: Any, voice: Any) -> None:
    clock = ManualClock()
    async with serve(clock=clock, max_audio_ahead_s=1.0) as served, calling(served) as caller:
        await caller.send(voice(1, 12))
        await caller.hear(11)
        clock.advance(1.0)
        await caller.send(voice(2, 12))
        await caller.hear(23)
        await caller.send(voice(3, 2))
        code, reason = await caller.until_closed()
        assert code == 1008
        assert "ahead of real time" in reason


async def test_a_few_bytes_that_stand_for_minutes_of_audio_end_the_connection(serve: Any, calling: Any) -> None:
    """Packets of one byte are 120 ms of silence each: a message of 64 KiB would be an hour and a half."""
    async with serve(max_audio_ahead_s=10.0) as served, calling(served, "codec=opus") as caller:
        writer_pages = _bomb(packets=30_000)
        for start in range(0, len(writer_pages), 60_000):
            await caller.socket.send(b"\1" + writer_pages[start : start + 60_000])
        code, _ = await caller.until_closed()
        assert code in (1007, 1008)
        assert served.kernel.measures().frames < 1_000


async def test_a_flood_of_messages_ends_the_connection(serve: Any, calling: Any) -> None:
    async with serve(max_messages_per_s=10.0) as served, calling(served) as caller:
        with suppress(websockets.ConnectionClosed):
            for _ in range(100_000):
                await caller.socket.send(b"\x06")
                await asyncio.sleep(0)
        code, reason = await caller.until_closed()
        assert code == 1008
        assert "messages a second" in reason


async def test_a_flood_of_pings_ends_the_connection(serve: Any, calling: Any) -> None:
    async with serve(max_bytes_per_s=1024.0, max_message_bytes=1024) as served, calling(served) as caller:
        with suppress(websockets.ConnectionClosed):
            for _ in range(10_000):
                await caller.socket.ping()
                await asyncio.sleep(0)
        assert caller.socket.close_code in (1008, 1006)


async def test_a_message_that_is_too_large_ends_the_connection(serve: Any, calling: Any) -> None:
    async with serve(max_message_bytes=10_000) as served, calling(served) as caller:
        await caller.socket.send(bytes(10_001))
        assert (await caller.until_closed())[0] == 1009


async def test_silence_ends_the_connection_and_the_conversation_waits(serve: Any, calling: Any, until: Any) -> None:
    async with serve(idle_timeout_s=1.0) as served, calling(served) as caller:
        code, reason = await caller.until_closed()
        assert code == 1008
        assert "nothing was heard" in reason
        conversation = served.kernel.conversations[caller.id]
        await until(lambda: conversation.detached_since_s is not None)


async def test_a_conversation_that_is_too_long_is_ended(serve: Any, calling: Any, until: Any) -> None:
    clock = ManualClock()
    async with serve(clock=clock, max_conversation_s=60.0) as served, calling(served) as caller:
        await asyncio.sleep(0)
        clock.advance(61.0)
        code, reason = await caller.until_closed()
        assert code == 1008
        assert "60 s" in reason
        await until(lambda: not served.kernel.conversations)


async def test_where_no_time_is_left_for_opus_newcomers_are_told_and_nobody_else_is(
    serve: Any, calling: Any, voice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve() as served, calling(served, "codec=opus") as caller:
        monkeypatch.setattr(OpusPool, "load", 0.95)
        with pytest.raises(websockets.InvalidStatus) as refusal:
            async with calling(served, "codec=opus"):
                pass
        response = refusal.value.response
        assert (response.status_code, response.headers["Retry-After"]) == (503, "10")
        assert b"codec=pcm" in (response.body or b"")
        await caller.send(voice(1, 3))
        await caller.hear(2)
        again = f"codec=opus&conversation={caller.id}"
        async with calling(served, again, additional_headers={"Authorization": f"Bearer {caller.resume_token}"}):
            pass
        async with calling(served, "codec=pcm"):
            pass


async def test_connections_are_bounded_in_total_and_per_address(serve: Any, calling: Any) -> None:
    async with serve(max_connections_per_address=2) as served, calling(served), calling(served) as second:
        with pytest.raises(websockets.InvalidStatus) as refusal:
            async with calling(served):
                pass
        assert refusal.value.response.status_code == 503
        assert "Retry-After" in refusal.value.response.headers
        await second.socket.close()
        async with asyncio.timeout(60):
            while True:
                try:
                    async with calling(served):
                        break
                except websockets.InvalidStatus:
                    await asyncio.sleep(0.01)


async def test_a_peer_that_answers_no_ping_is_gone(serve: Any, until: Any) -> None:
    async with serve(ping_interval_s=0.1, ping_timeout_s=0.2) as served:
        reader, writer = await _upgraded(served.url)
        await until(lambda: bool(served.kernel.conversations))
        (conversation,) = served.kernel.conversations.values()
        await until(lambda: conversation.detached_since_s is not None)
        writer.close()
        del reader


async def test_a_peer_that_never_reads_costs_frames_of_its_own_and_bounded_memory(
    serve: Any, calling: Any, voice: Any, until: Any
) -> None:
    pcm = voice(1, 70)
    stack = Stack(processor=EchoConfig(conversations=2), streaming_manager=RealtimeConfig(buffer_frames=1_000))
    async with (
        serve(stack, send_timeout_s=1.0, send_buffer_frames=5, ping_interval_s=1.0, ping_timeout_s=8.0) as served,
        calling(served) as other,
    ):
        reader, writer = await _upgraded(served.url)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await until(lambda: len(served.kernel.conversations) == 2)
        slow = next(each for id, each in served.kernel.conversations.items() if id != other.id)
        for start in range(0, len(pcm), FRAME):
            payload = b"\1" + (pcm[start : start + FRAME] * 32768).astype("<i2").tobytes()
            writer.write(_frame(payload))
            await writer.drain()
            await other.send(pcm[start : start + FRAME])
            await other.hear(start // FRAME)
        assert np.array_equal(await other.hear(69), pcm[: 69 * FRAME])
        await until(lambda: slow.detached_since_s is not None)
        writer.close()
        del reader


async def test_a_request_that_never_ends_is_cut_off(serve: Any) -> None:
    async with serve(handshake_timeout_s=0.3) as served:
        host, port = served.url.removeprefix("http://").split(":")
        for beginning in (b"", b"GET / HTTP/1.1\r\nHost: a\r\n", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(beginning)
            async with asyncio.timeout(30):
                try:
                    while await reader.read(1000):
                        pass
                except ConnectionResetError:
                    pass
            writer.close()


async def test_a_first_message_that_never_comes_ends_the_connection(serve: Any, calling: Any) -> None:
    async with serve(token="x", handshake_timeout_s=0.2) as served, calling(served, "codec=pcm&auth=message") as caller:
        code, reason = await caller.until_closed()
        assert code == 1008
        assert "nothing was heard" in reason


async def _upgraded(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A WebSocket by hand, which does no more than it is told to."""
    host, port = url.removeprefix("http://").split(":")
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    link.connect((host, int(port)))
    reader, writer = await asyncio.open_connection(sock=link, limit=4096)
    writer.write(
        b"GET /api/chat?codec=pcm HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


def _frame(payload: bytes) -> bytes:
    """A masked binary frame whose mask is zero."""
    assert 126 <= len(payload) < 65_536
    return b"\x82\xfe" + len(payload).to_bytes(2, "big") + bytes(4) + payload


def _bomb(packets: int) -> bytes:
    """An Ogg stream of Opus packets of one byte, each of which says that it is 60 ms of silence."""
    serial = (7).to_bytes(4, "little")

    def page(kind: int, number: int, granule: int, body: list[bytes]) -> bytes:
        head = b"OggS\0" + bytes([kind]) + granule.to_bytes(8, "little") + serial + number.to_bytes(4, "little")
        lacing = bytes([len(body)]) + bytes(len(packet) for packet in body)
        data = b"".join(body)
        crc = _crc(head + bytes(4) + lacing + data)
        return head + crc.to_bytes(4, "little") + lacing + data

    head = b"OpusHead\1\1" + bytes(2) + (48_000).to_bytes(4, "little") + bytes(3)
    pages = [page(2, 0, 0, [head]), page(0, 1, 0, [b"OpusTags" + bytes(8)])]
    body = page(0, 2, 0, [bytes([0b00011000])] * 255)
    number, granule = 2, 0
    while packets > 0:
        granule += 255 * 2_880
        pages.append(page(0, number, granule, [bytes([0b00011000])] * 255))
        number += 1
        packets -= 255
    assert len(body) < 600
    return b"".join(pages)


def _crc(data: bytes) -> int:
    value = 0
    for byte in data:
        value = ((value << 8) & 0xFFFFFFFF) ^ _CRC[(value >> 24) ^ byte]
    return value


def _crc_table() -> list[int]:
    table = []
    for index in range(256):
        value = index << 24
        for _ in range(8):
            value = ((value << 1) ^ 0x04C11DB7) & 0xFFFFFFFF if value & 0x80000000 else (value << 1) & 0xFFFFFFFF
        table.append(value)
    return table


_CRC = _crc_table()
