"""Kyutai's own client, ``python -m moshi.client``, unmodified: its microphone and loudspeaker are PulseAudio's."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from coda_core import AudioFrame, ExtractedText, Stack
from coda_moshi.config import EchoConfig, MoshiConfig
from coda_streaming.config import RealtimeConfig
from tests.coda_audio.sound_server import SoundServer

RATE = 48_000
TONE_HZ = 440
TOKEN = "callers-token"


@pytest.fixture
def sound(tmp_path: Path) -> Iterator[SoundServer]:
    """A sound server whose microphone hears a tone, without end."""
    folder = tmp_path / "sound"
    folder.mkdir()
    server = SoundServer(folder)
    server.start()
    tone = 0.5 * np.sin(2 * np.pi * TONE_HZ * np.arange(60 * RATE) / RATE)
    soundfile.write(tmp_path / "tone.wav", tone, RATE)
    playing = server.start_program("paplay", "--device=caller", str(tmp_path / "tone.wav"))
    yield server
    playing.kill()
    playing.communicate()
    server.stop()


@asynccontextmanager
async def client(served: Any, sound: SoundServer) -> AsyncIterator[asyncio.subprocess.Process]:
    url = served.url.replace("http://", f"ws://x:{TOKEN}@")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "moshi.client", "--url", url),
        env={**sound.environment, "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def opened(served: Any, process: asyncio.subprocess.Process, until: Any) -> Any:
    """Wait for the client's conversation, or say what it said instead."""
    await until(lambda: bool(served.kernel.conversations) or process.returncode is not None)
    if process.returncode is not None:
        assert process.stdout is not None
        raise AssertionError((await process.stdout.read()).decode())
    (conversation,) = served.kernel.conversations.values()
    return conversation


async def test_it_hears_what_its_microphone_heard(serve: Any, sound: SoundServer, until: Any) -> None:
    stack = Stack(processor=EchoConfig(conversations=1, delay_frames=2), streaming_manager=RealtimeConfig())
    async with serve(stack, token=TOKEN) as served, client(served, sound) as process:
        conversation = await opened(served, process, until)
        recording = await asyncio.create_subprocess_exec(
            *("parec", "--device=speaker.monitor", "--rate=48000", "--channels=1", "--format=s16le"),
            env=sound.environment,
            stdout=asyncio.subprocess.PIPE,
        )
        assert recording.stdout is not None
        async with asyncio.timeout(120):
            while not _is_the_tone(await recording.stdout.readexactly(2 * RATE)):
                pass
        recording.kill()
        await recording.wait()
        await conversation.close()
        assert process.stdout is not None
        said = (await process.stdout.read()).decode()
        assert await process.wait() == 0
        assert "connected!" in said
        assert "All done!" in said


async def test_it_prints_what_moshi_says(serve: Any, sound: SoundServer, until: Any) -> None:
    stack = Stack(
        processor=MoshiConfig(model_path="tiny", conversations=1, seed=1),
        streaming_manager=RealtimeConfig(headroom=0.0, buffer_frames=1_000),
    )
    async with serve(stack, token=TOKEN) as served, client(served, sound) as process:
        conversation = await opened(served, process, until)
        output = conversation.subscribe(ExtractedText, AudioFrame, size=10_000)
        words: list[ExtractedText] = []
        loudest = 0.0
        async for item in output:
            if isinstance(item, AudioFrame):
                loudest = max(loudest, float(np.abs(item.heard).max()))
            else:
                words.append(item)
            if len(words) >= 5 and loudest > 0.2:
                break
        await conversation.close()
        assert process.stdout is not None
        printed = (await process.stdout.read()).decode()
        assert await process.wait() == 0
    vocabulary = served.kernel.info.vocabulary
    said = b"".join(
        (b" " if token in vocabulary.word_starts else b"") + vocabulary.pieces[token]
        for word in words
        for token in word.tokens
    ).decode("utf-8", "replace")
    assert said
    assert _letters(said) in _letters(printed)


def _is_the_tone(data: bytes) -> bool:
    spectrum = np.abs(np.fft.rfft(np.frombuffer(data, "<i2").astype(np.float64)))
    return bool(spectrum.max() > 1e6 and abs(int(spectrum.argmax()) - TONE_HZ) <= 2)


def _letters(text: str) -> str:
    """What is left of a print between lines of a log, and of its marks for lag."""
    kept = [line for line in text.replace("\x1b[31m [LAG]\x1b[0m", "").splitlines() if not _is_logged(line)]
    return "".join("".join(kept).split())


def _is_logged(line: str) -> bool:
    return line.startswith(("Info:", "Warning:", "Error:"))
