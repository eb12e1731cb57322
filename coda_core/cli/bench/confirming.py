"""Lets callers talk in real time, to see whether a number of conversations holds."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import Final

import numpy as np

from coda_core.audio import AudioFrame
from coda_core.cli.bench.findings import Findings, Paced
from coda_core.cli.bench.subject import Subject
from coda_core.clock import Clock
from coda_core.conversation import Conversation
from coda_core.errors import ConversationBroken
from coda_core.interfaces import Progress
from coda_core.kernel import Kernel

__all__ = ["confirm"]

_TRIES: Final = 6
_STEP_BACK: Final = 0.1
"""By how much a number that does not hold is lowered for the next try."""
_VOICES: Final = 16
"""Different blocks of noise that callers draw from."""


async def confirm(subject: Subject, seconds: float, findings: Findings, progress: Progress) -> None:
    """Run the largest batch that fits in real time, and smaller ones until one holds; every run is a finding."""
    conversations = findings.fitting
    for _ in range(_TRIES):
        async with subject.kernel(conversations, progress) as kernel:
            # The streaming manager measures too, at its start, and may offer less.
            conversations = min(conversations, kernel.measures().capacity)
            run = await _talk(kernel, conversations, seconds, subject.clock, progress)
        findings.paced.append(run)
        if run.held or conversations == 1:
            return
        conversations -= max(1, round(_STEP_BACK * conversations))


async def _talk(kernel: Kernel, count: int, seconds: float, clock: Clock, progress: Progress) -> Paced:
    """Let `count` callers talk without a pause, each at a phase of its own, or until one is disconnected."""
    info = kernel.info
    rng = np.random.default_rng(0)
    voices = rng.uniform(-0.3, 0.3, (_VOICES, info.frame_samples)).astype(np.float32)
    phases = np.sort(rng.uniform(0, info.frame_s, count)).tolist()
    blocks = round(seconds / info.frame_s)
    what = f"{count} {'caller' if count == 1 else 'callers'} talking for {seconds:g} s"
    broken = False
    async with AsyncExitStack() as exits:
        conversations = [await exits.enter_async_context(kernel.open_conversation()) for _ in range(count)]
        reading = [asyncio.create_task(_read(conversation)) for conversation in conversations]
        try:
            begin = clock.now()
            for index in range(blocks):
                progress(what, index, blocks)
                for who, conversation in enumerate(conversations):
                    await clock.sleep_until(begin + index * info.frame_s + phases[who])
                    await conversation.send(voices[(who + index) % _VOICES])
            for conversation in conversations:
                await conversation.drain()
        except ConversationBroken:
            broken = True
        progress(what, blocks, blocks)
        measures = kernel.measures()
    await asyncio.gather(*reading)
    return Paced(conversations=count, seconds=seconds, frame_s=info.frame_s, measures=measures, broken=broken)


async def _read(conversation: Conversation) -> None:
    """Take the answers, as a peer does."""
    with suppress(ConversationBroken):
        async for _ in conversation.subscribe(AudioFrame):
            pass
