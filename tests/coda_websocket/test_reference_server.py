"""The same recorded exchange with the reference server, ``python -m moshi.server``, and with this one: greedy."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import sphn
import websockets

from coda_core import Stack
from coda_core.paths import cache_dir
from coda_moshi.config import MoshiConfig
from coda_moshi.tiny import tiny_checkpoint
from coda_streaming.config import OfflineConfig

FRAME = 1_920
FRAMES = 30
LAUNCHER = Path(__file__).parent.parent / "bench" / "reference_launcher.py"


@attrs.define
class Exchange:
    """What came back, message by message."""

    text: bytes = b""
    samples: int = 0
    order: list[int] = attrs.field(factory=list)
    """Kinds in the order of coming, of those that are no audio and no text."""


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The tiny checkpoint's config, for a model that always takes the likeliest token."""
    folder = tiny_checkpoint(cache_dir())
    config = json.loads((folder / "config.json").read_text())
    config["mimi_config_name"] = (folder / config["mimi_config_name"]).as_uri()
    config["lm_gen_config"] = {**config["lm_gen_config"], "use_sampling": False}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    return path


@asynccontextmanager
async def reference_server(config: Path) -> AsyncIterator[str]:
    folder = tiny_checkpoint(cache_dir())
    names = json.loads(config.read_text())  # noqa: ASYNC240
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(LAUNCHER), "--host", "127.0.0.1", "--port", str(port), "--static", "none"),
        *("--device", "cpu", "--config-path", str(config), "--tokenizer", str(folder / names["tokenizer_name"])),
        *("--moshi-weight", str(folder / names["moshi_name"]), "--mimi-weight", str(folder / names["mimi_name"])),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "NO_TORCH_COMPILE": "1"},
    )
    assert process.stdout is not None
    try:
        while b"Running on" not in (line := await process.stdout.readline()):
            assert line, await process.wait()
        reading = asyncio.create_task(process.stdout.read())
        yield f"ws://127.0.0.1:{port}/api/chat"
        reading.cancel()
    finally:
        process.kill()
        await process.wait()


async def exchange(url: str, recording: Sequence[bytes], answers: int) -> Exchange:
    """Play a recording to a server until so much has been answered."""
    reader = sphn.OpusStreamReader(24_000)
    found = Exchange()
    async with websockets.connect(url, max_queue=None) as peer:
        first = await peer.recv()
        assert isinstance(first, bytes)
        found.order.append(first[0])
        for page in recording:
            await peer.send(b"\1" + page)
        while found.samples < answers * FRAME:
            message = await peer.recv()
            assert isinstance(message, bytes)
            if message[0] == 1:
                found.samples += len(reader.append_bytes(message[1:]))
            elif message[0] == 2:
                found.text += message[1:]
            else:
                found.order.append(message[0])
    return found


def spelt(text: bytes) -> bytes:
    """Pieces that stand for one byte as that byte: the reference server sends their names."""
    return re.sub(rb"<0x([0-9A-F]{2})>", lambda piece: bytes.fromhex(piece[1].decode()), text)


async def test_the_same_exchange_gives_the_same(serve: Any, checkpoint: Path) -> None:
    caller = np.random.default_rng(3).uniform(-0.3, 0.3, FRAMES * FRAME).astype(np.float32)
    writer = sphn.OpusStreamWriter(24_000)
    recording = [writer.append_pcm(caller[start : start + FRAME]) for start in range(0, len(caller), FRAME)]
    async with reference_server(checkpoint) as url:
        theirs = await exchange(url, recording, FRAMES - 1)
    stack = Stack(
        processor=MoshiConfig(model_path="tiny", conversations=1, greedy=True), streaming_manager=OfflineConfig()
    )
    async with serve(stack, send_buffer_frames=1_000) as served:
        ours = await exchange(served.ws("/api/chat"), recording, FRAMES - 1)
    assert ours.order == theirs.order == [0]
    assert ours.samples == theirs.samples == (FRAMES - 1) * FRAME
    said = spelt(theirs.text).decode("utf-8", "replace")
    mine = ours.text.decode()
    assert mine
    # A word is sent when it is complete, a piece when it is there: the last word may be on its way still.
    assert said.startswith(mine)
    assert len(said) - len(mine) < 40
