"""Whole conversations with a real Moshi, through the kernel: what an embedder relies on."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray

from coda_core import (
    AudioFormat,
    AudioFrame,
    Conversation,
    ExtractedText,
    Full,
    Kernel,
    SlotOptions,
    Stack,
)
from coda_moshi.config import InnerMonologueConfig, MoshiConfig
from coda_state.config import SqliteStoreConfig
from coda_streaming.config import OfflineConfig, RealtimeConfig

FRAME = 1_920
FRAMES = 30


@attrs.frozen
class Heard:
    """What came out of a conversation."""

    pcm: NDArray[np.float32]
    texts: list[tuple[str, str, float, float, float, tuple[int, ...]]]


def caller(seed: int, frames: int = FRAMES) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-0.3, 0.3, frames * FRAME).astype(np.float32)


def moshi(conversations: int, **settings: object) -> MoshiConfig:
    return MoshiConfig(model_path="tiny", conversations=conversations, **settings)  # type: ignore[arg-type]


def offline(conversations: int, **parts: object) -> Stack:
    return Stack(processor=moshi(conversations), streaming_manager=OfflineConfig(), **parts)  # type: ignore[arg-type]


async def talk(conversation: Conversation, pcm: NDArray[np.float32], pauses: random.Random | None = None) -> Heard:
    """Send `pcm` in frames, now and then pausing, and return all that came out."""
    output = conversation.subscribe(AudioFrame, ExtractedText, size=10_000)
    for start in range(0, len(pcm), FRAME):
        if pauses is not None and pauses.random() < 0.2:
            await conversation.pause()
            await asyncio.sleep(0)
            await conversation.resume()
        await conversation.send(pcm[start : start + FRAME])
    await conversation.drain()
    await conversation.close()
    items = [item async for item in output]
    words = [item for item in items if isinstance(item, ExtractedText)]
    return Heard(
        np.concatenate([item.pcm for item in items if isinstance(item, AudioFrame)]),
        [(word.extractor, word.text, word.start_s, word.end_s, word.confidence, word.tokens) for word in words],
    )


async def alone(kernel: Kernel, seed: int) -> Heard:
    async with kernel.open_conversation(options=SlotOptions(seed=seed)) as conversation:
        return await talk(conversation, caller(seed))


def assert_equal(left: Heard, right: Heard) -> None:
    assert left.texts == right.texts
    np.testing.assert_allclose(left.pcm, right.pcm, atol=1e-6)  # another slot may round the last bit otherwise


async def test_a_conversation_is_what_it_would_be_alone() -> None:
    async with Kernel(offline(4)) as kernel:
        expected = {seed: await alone(kernel, seed) for seed in range(6)}
        assert any(heard.texts for heard in expected.values())

        async def comes_and_goes(seed: int) -> Heard:
            while True:
                try:
                    async with kernel.open_conversation(options=SlotOptions(seed=seed)) as conversation:
                        return await talk(conversation, caller(seed), random.Random(seed))
                except Full:
                    await asyncio.sleep(0.01)

        together = await asyncio.gather(*(comes_and_goes(seed) for seed in range(6)))
        for seed, heard in enumerate(together):
            assert_equal(heard, expected[seed])


async def test_two_kernels_with_a_model_each_take_turns_and_do_not_mix() -> None:
    async with Kernel(offline(2)) as first, Kernel(offline(2)) as second:
        expected = await alone(first, 1), await alone(second, 2)
        found = await asyncio.gather(alone(first, 1), alone(second, 2))
        for one, other in zip(found, expected, strict=True):
            assert_equal(one, other)


async def test_several_extractors_read_one_conversation() -> None:
    extractors = (InnerMonologueConfig(), InnerMonologueConfig(mode="buffered"), InnerMonologueConfig(mode="on-demand"))
    async with Kernel(offline(1, monologue_extractor=extractors)) as kernel, kernel.open_conversation() as conversation:
        output = conversation.subscribe(ExtractedText)
        await conversation.send(caller(3, 60))
        await conversation.drain()
        asked = await conversation.text(60, extractor="inner-monologue#3")
        await conversation.close()
        found = [word async for word in output]
    words = [word for word in found if word.extractor == "inner-monologue"]
    phrases = [word for word in found if word.extractor == "inner-monologue#2"]
    assert words
    said = "".join(word.text for word in words)
    assert said == "".join(phrase.text for phrase in phrases).replace(" ", "")
    assert said.startswith("".join(word.text for word in asked))
    assert not [word for word in found if word.extractor == "inner-monologue#3"]


async def test_times_are_frames_and_lie_inside_the_audio() -> None:
    async with Kernel(offline(1)) as kernel, kernel.open_conversation(format=AudioFormat(16_000)) as conversation:
        output = conversation.subscribe(AudioFrame, ExtractedText, size=1_000)
        await conversation.send(np.random.default_rng(0).uniform(-0.3, 0.3, 16_000 * 5).astype(np.float32))
        await conversation.drain()
        await conversation.close()
        items = [item async for item in output]
    frames = [item for item in items if isinstance(item, AudioFrame)]
    words = [item for item in items if isinstance(item, ExtractedText)]
    assert abs(len(frames) * 0.08 - 5) <= 0.16
    assert [frame.valid for frame in frames] == [False, *[True] * (len(frames) - 1)]
    assert words
    for word in words:
        assert word.frame is not None
        assert word.start_s == pytest.approx(word.frame * 0.08)
        assert 0 <= word.start_s < word.end_s <= len(frames) * 0.08
        assert 0 <= word.confidence <= 1


async def test_the_next_caller_of_a_full_house_is_refused_at_once(tmp_path: Path) -> None:
    stack = Stack(
        processor=moshi(2),
        streaming_manager=RealtimeConfig(),
        state_store=SqliteStoreConfig(path=tmp_path / "conversations.db"),
    )
    async with Kernel(stack) as kernel, kernel.open_conversation() as one, kernel.open_conversation() as two:
        with pytest.raises(Full, match="all 2 slots are taken") as refusal:
            async with kernel.open_conversation():
                pass
        assert refusal.value.capacity == 2
        await one.send(caller(1, 5))
        await two.send(caller(2, 5))
        await one.drain()
        await two.drain()
        assert (one.measures().dropped_frames, two.measures().dropped_frames) == (0, 0)
