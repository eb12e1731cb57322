"""The reference server on a checkpoint, with one real client and then with two."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import attrs
import numpy as np
import sphn
from numpy.typing import NDArray

from coda_core import FRAME_S, FRAME_SAMPLES, SAMPLE_RATE_HZ

__all__ = ["Reference", "reference_server"]

_HANDSHAKE: Final = 0
_AUDIO: Final = 1
_STEP: Final = re.compile(r"frame handled in ([0-9.]+)ms")
_HEAD_START_S: Final = 1.0
"""By how much the first of two clients is earlier."""
_LAST_ANSWERS_S: Final = 1.0


@attrs.frozen(kw_only=True, eq=False)
class Reference:
    """What the reference server did, in seconds."""

    step_s: NDArray[np.float64]
    """``[frames]``: encode, step, decode and sending, as it logs them itself."""
    end_to_end_s: NDArray[np.float64]
    """``[answers]`` to a lone client: from the moment at which a block was due to the arrival of its answer."""
    first_talked_s: float
    """How long the first of two clients talked."""
    second_handshake_s: float
    """From the second one's connecting, a second after the first, to its handshake."""
    second_audio_s: float
    """From its connecting to its first audio."""


async def reference_server(folder: Path, seconds: float) -> Reference:
    """Start the server on a checkpoint and talk to it for `seconds`.

    First alone, then with a second client who wants to be heard.
    """
    delay = max(json.loads((folder / "config.json").read_text())["delays"])
    blocks = round(seconds / FRAME_S)
    async with _running(folder) as server, aiohttp.ClientSession() as session:
        alone = _Client(session, server.url)
        await alone.talk(blocks)
        step_s = np.array(server.steps_s)
        first, second = _Client(session, server.url), _Client(session, server.url)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(first.talk(blocks))
            await asyncio.sleep(_HEAD_START_S)
            tasks.create_task(second.talk(2 * (delay + 1)))
    answered = np.array(alone.audio_s)
    due = np.array(alone.due_s)[delay:][: len(answered)]
    return Reference(
        step_s=step_s,
        end_to_end_s=answered[: len(due)] - due,
        first_talked_s=first.due_s[-1] - first.due_s[0],
        second_handshake_s=second.handshake_s - second.connected_s,
        second_audio_s=second.audio_s[0] - second.connected_s,
    )


class _Client:
    """Connects, waits for the handshake, and sends Opus in real time. Moments are on `time.monotonic`."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.connected_s = self.handshake_s = 0.0
        self.due_s: list[float] = []
        """When each block was due."""
        self.audio_s: list[float] = []
        """When each message with audio came: the server sends one for each frame that it answers."""
        self._session = session
        self._url = url

    async def talk(self, blocks: int) -> None:
        self.connected_s = time.monotonic()
        async with self._session.ws_connect(self._url) as peer:
            shaken = asyncio.Event()
            listening = asyncio.create_task(self._listen(peer, shaken))
            await shaken.wait()
            rng = np.random.default_rng(0)
            opus = sphn.OpusStreamWriter(SAMPLE_RATE_HZ)
            for index in range(blocks):
                due = self.handshake_s + index * FRAME_S
                await asyncio.sleep(due - time.monotonic())
                self.due_s.append(due)
                sound = rng.uniform(-0.3, 0.3, FRAME_SAMPLES).astype(np.float32)
                await peer.send_bytes(bytes([_AUDIO]) + opus.append_pcm(sound))
            await asyncio.sleep(_LAST_ANSWERS_S)
        await listening

    async def _listen(self, peer: aiohttp.ClientWebSocketResponse, shaken: asyncio.Event) -> None:
        async for message in peer:
            if message.data[0] == _HANDSHAKE:
                self.handshake_s = time.monotonic()
                shaken.set()
            elif message.data[0] == _AUDIO:
                self.audio_s.append(time.monotonic())


@attrs.define
class _Server:
    url: str
    steps_s: list[float] = attrs.field(factory=list)


@asynccontextmanager
async def _running(checkpoint: Path) -> AsyncIterator[_Server]:
    """Run the server in a process of its own, until it is left."""
    names = json.loads((checkpoint / "config.json").read_text())
    port = _free_port()
    server = _Server(f"ws://127.0.0.1:{port}/api/chat")
    with tempfile.TemporaryDirectory() as folder:
        # The server has no option for the codec's config: only its config file can lead there.
        config = Path(folder) / "config.json"
        mimi = (checkpoint / names["mimi_config_name"]).as_uri()
        config.write_text(json.dumps({**names, "mimi_config_name": mimi}))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("reference_launcher.py")),
            *("--host", "127.0.0.1", "--port", str(port), "--static", "none", "--device", "cpu"),
            *("--config-path", str(config), "--tokenizer", str(checkpoint / names["tokenizer_name"])),
            *("--moshi-weight", str(checkpoint / names["moshi_name"])),
            *("--mimi-weight", str(checkpoint / names["mimi_name"])),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "NO_TORCH_COMPILE": "1"},
        )
        assert process.stdout is not None
        try:
            while b"Running on" not in (line := await process.stdout.readline()):
                if not line:
                    raise RuntimeError(f"the reference server did not start: exit {await process.wait()}")
            reading = asyncio.create_task(_read(process.stdout, server))
            yield server
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
        await reading


async def _read(log: asyncio.StreamReader, server: _Server) -> None:
    async for line in log:
        if found := _STEP.search(line.decode()):
            server.steps_s.append(float(found[1]) / 1000)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
