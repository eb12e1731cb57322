"""One more caller: comes, is heard, gets the first sound of an answer, and goes."""

from __future__ import annotations

import asyncio
import time

import attrs
import numpy as np

from coda_core import FRAME_S, FRAME_SAMPLES, AudioFrame, Conversation, Kernel

__all__ = ["Joined", "join"]


@attrs.frozen(kw_only=True)
class Joined:
    """How it went, in seconds from the call of `open_conversation`; moments are on `time.monotonic`."""

    opened_s: float
    answered_s: float
    """The first block was answered, be it with silence."""
    audio_s: float
    """The first sound of Moshi's came."""
    own_s: float
    """The part of `audio_s` that the caller's own blocks took to be spoken: no server could have been faster."""
    joining: tuple[float, float]
    """From the call to the first sound."""
    leaving: tuple[float, float]
    """From closing to closed."""


async def join(kernel: Kernel) -> Joined:
    """Open a conversation, talk until there is a sound, and close it. Raises `Full`.

    The caller has a block at hand when the conversation opens, and from then on one every 80 ms.
    """
    began = time.monotonic()
    async with kernel.open_conversation() as conversation:
        opened = time.monotonic()
        output = conversation.subscribe(AudioFrame)
        talking = asyncio.create_task(_talk(conversation))
        answered: float | None = None
        audio, frame = opened, 0
        async for answer in output:
            audio, frame = time.monotonic(), answer.frame
            answered = answered or audio
            if answer.valid:
                break
        talking.cancel()
        await asyncio.wait([talking])
        closing = time.monotonic()
    return Joined(
        opened_s=opened - began,
        answered_s=(answered or audio) - began,
        audio_s=audio - began,
        own_s=frame * FRAME_S,
        joining=(began, audio),
        leaving=(closing, time.monotonic()),
    )


async def _talk(conversation: Conversation) -> None:
    rng = np.random.default_rng(0)
    due = time.monotonic()
    while True:
        await conversation.send(rng.uniform(-0.3, 0.3, FRAME_SAMPLES).astype(np.float32))
        due += FRAME_S
        await asyncio.sleep(due - time.monotonic())
