"""Callers over WebSockets, in a process of their own: send every block when it is due, note when answers come.

Run by `network.py`. What was noted goes to stdout as an ``npz``: the conversation of each caller, and for each caller
and block when it was due, sent, and answered, on `time.monotonic`, which is one clock for the whole machine.

    python tests/bench/network_callers.py URL CALLERS BLOCKS CODEC
"""

from __future__ import annotations

import asyncio
import io
import sys
import time

import numpy as np
import sphn
import websockets
from numpy.typing import NDArray

from coda_core import FRAME_S, FRAME_SAMPLES, SAMPLE_RATE_HZ

_LAST_ANSWERS_S = 2.0


def speech(blocks: int) -> NDArray[np.float32]:
    """Something that is as hard to code as speech: syllables of a changing pitch, and breath; ``[blocks, 1920]``."""
    time_s = np.arange(blocks * FRAME_SAMPLES) / SAMPLE_RATE_HZ
    pitch = 130 + 50 * np.sin(2 * np.pi * 0.7 * time_s)
    voiced = np.sign(np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE_HZ))
    breath = np.random.default_rng(0).standard_normal(len(time_s))
    level = 0.15 * np.clip(np.sin(2 * np.pi * 2.3 * time_s), 0, 1)
    pcm: NDArray[np.float32] = (level * (voiced + 0.3 * breath)).astype(np.float32)
    return pcm.reshape(blocks, FRAME_SAMPLES)


def messages(codec: str, blocks: int) -> list[bytes]:
    """Return what every caller sends: coded once, so that coding costs nothing while they talk."""
    sound = speech(blocks)
    if codec == "pcm":
        return [b"\1" + np.rint(block * 32767).astype("<i2").tobytes() for block in sound]
    writer = sphn.OpusStreamWriter(SAMPLE_RATE_HZ)
    return [b"\1" + writer.append_pcm(block) for block in sound]


async def talk(url: str, callers: int, blocks: int, codec: str) -> None:
    said = messages(codec, blocks)
    sockets: list[websockets.ClientConnection] = []
    for _ in range(callers):
        socket = await websockets.connect(f"{url}?codec={codec}", compression=None, max_queue=None, ping_interval=None)
        await socket.recv()
        sockets.append(socket)
    phases = np.sort(np.random.default_rng(0).uniform(0, FRAME_S, callers))
    due = time.monotonic() + 0.5 + phases[:, None] + FRAME_S * np.arange(blocks)
    sent, received = np.full(due.shape, np.nan), np.full(due.shape, np.nan)
    listening = [asyncio.create_task(listen(socket, received[who])) for who, socket in enumerate(sockets)]
    await asyncio.gather(*(send(socket, said, due[who], sent[who]) for who, socket in enumerate(sockets)))
    await asyncio.sleep(_LAST_ANSWERS_S)
    ids = [socket.response.headers["Coda-Conversation"] for socket in sockets if socket.response is not None]
    await asyncio.gather(*(socket.close() for socket in sockets))
    await asyncio.gather(*listening)
    noted = io.BytesIO()
    np.savez(noted, ids=np.array(ids), due=due, sent=sent, received=received, cpu_s=time.process_time())
    sys.stdout.buffer.write(noted.getvalue())


async def send(
    socket: websockets.ClientConnection, said: list[bytes], due: NDArray[np.float64], sent: NDArray[np.float64]
) -> None:
    try:
        for block, when in enumerate(due.tolist()):
            await asyncio.sleep(max(0.0, when - time.monotonic()))
            sent[block] = time.monotonic()
            await socket.send(said[block])
    except websockets.ConnectionClosed:
        return


async def listen(socket: websockets.ClientConnection, received: NDArray[np.float64]) -> None:
    """Note when each message with audio comes: the server sends one for each frame."""
    answers = 0
    async for message in socket:
        if message[0] == 1 and answers < len(received):
            received[answers] = time.monotonic()
            answers += 1


if __name__ == "__main__":
    asyncio.run(talk(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
