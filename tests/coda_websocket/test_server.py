"""Starting, ending, TLS, and being mounted in another application."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import websockets
from starlette.applications import Starlette
from starlette.routing import Mount

from coda_core import CodaError, Kernel, Stack
from coda_moshi.config import EchoConfig
from coda_websocket.application import open_application
from coda_websocket.config import WebsocketConfig
from coda_websocket.server import serving

STACK = """
[stack]
name = "front"
[processor]
use = "echo"
[state_store]
use = "sqlite"
path = "conversations.db"
[[transport]]
use = "websocket"
port = {port}
shutdown_timeout_s = 5.0
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """`coda run` with the transport, when it listens."""
    port = free_port()
    (folder / "stack.toml").write_text(STACK.format(port=port))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "coda_core.cli", "run", "stack.toml"),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        told = b""
        while b"event=listening" not in told:
            line = await process.stderr.readline()
            assert line, told
            told += line
        yield process, f"ws://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_at_the_end_peers_are_told_and_conversations_recorded(tmp_path: Path) -> None:
    async with running(tmp_path) as (process, url):
        async with (
            websockets.connect(url + "/api/chat?codec=pcm") as one,
            websockets.connect(url + "/api/chat?codec=pcm") as other,
        ):
            for peer in (one, other):
                await peer.recv()
            process.send_signal(signal.SIGINT)
            for peer in (one, other):
                with pytest.raises(websockets.ConnectionClosed):
                    await peer.recv()
                assert peer.close_code == 1001
                assert "shutting down" in (peer.close_reason or "")
        assert await process.wait() == 130
        assert process.stderr is not None
        assert b"Traceback" not in await process.stderr.read()


async def test_a_second_interruption_ends_it_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as (process, url):
        host, port = url.removeprefix("ws://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"GET /api/chat?codec=pcm HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() in (130, 143)
        writer.close()


async def test_an_address_that_is_taken_is_one_message(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (tmp_path / "stack.toml").write_text(STACK.format(port=taken.getsockname()[1]))
        command = [sys.executable, "-m", "coda_core.cli", "run", "stack.toml"]
        ran = await asyncio.to_thread(subprocess.run, command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 2
    assert "cannot listen on 127.0.0.1" in ran.stderr
    assert "Traceback" not in ran.stderr


async def test_a_certificate_that_is_not_there_is_one_message(tmp_path: Path) -> None:
    config = WebsocketConfig(port=0, tls_certificate=tmp_path / "cert.pem", tls_key=tmp_path / "key.pem")
    async with Kernel(Stack(processor=EchoConfig())) as kernel, open_application(kernel, config) as application:
        with pytest.raises(CodaError, match="give PEM files"):
            async with serving(application, config):
                pass


async def test_it_speaks_tls(serve: Any, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    await asyncio.to_thread(subprocess.run, [*command, *names], check=True, capture_output=True)
    context = ssl.create_default_context(cafile=str(certificate))
    async with serve(tls_certificate=certificate, tls_key=key) as served:
        assert served.url.startswith("https://")
        async with websockets.connect(served.ws("/api/chat"), ssl=context) as peer:
            assert (await peer.recv())[0] == 0


async def test_it_is_mounted_in_another_application(voice: Any) -> None:
    config = WebsocketConfig(opus_processes=1)
    async with (
        Kernel(Stack(processor=EchoConfig(delay_frames=0))) as kernel,
        open_application(kernel, config) as application,
    ):
        outer = Starlette(routes=[Mount("/voice", app=application)])
        server = uvicorn.Server(uvicorn.Config(outer, port=0, lifespan="off", log_config=None))
        serving_it = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with websockets.connect(f"ws://127.0.0.1:{port}/voice/api/chat?codec=pcm&metadata=1") as peer:
            assert (await peer.recv())[0] == 0
            facts = await peer.recv()
            assert isinstance(facts, bytes)
            assert json.loads(facts[1:])["conversation"] in kernel.conversations
            pcm = (voice(1, 1) * 32768).astype("<i2").tobytes()
            await peer.send(b"\1" + pcm)
            assert await peer.recv() == b"\1" + pcm
        server.should_exit = True
        await serving_it


async def test_nobody_is_let_in_once_it_is_closing(serve: Any, calling: Any) -> None:
    async with serve() as served:
        await served.application.close(0.0)
        with pytest.raises(websockets.InvalidStatus) as refusal:
            async with calling(served):
                pass
        assert refusal.value.response.status_code == 503


async def test_in_a_pipe_a_line_is_written_for_each_beginning_and_end(tmp_path: Path) -> None:
    async with running(tmp_path) as (process, url):
        async with websockets.connect(url + "/api/chat?codec=pcm") as peer:
            await peer.recv()
            assert peer.response is not None
            id = peer.response.headers["Coda-Conversation"]
            await peer.send("a\nbroken\npeer")
            await peer.wait_closed()
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        lines = (await process.stderr.read()).decode().splitlines()
        assert await process.wait() == 130
    noted = [dict(re.findall(r'(\w+)=("[^"]*"|\S+)', line)) for line in lines if "event=" in line]
    of_it = [(line["event"], line.get("code")) for line in noted if line.get("conversation") == id]
    assert of_it == [("opened", None), ("parted", "1003")]
    assert noted[-1]["event"] == "ending"
