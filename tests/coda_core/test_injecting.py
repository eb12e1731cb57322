"""What Moshi is asked to say, and to leave unsaid, through a conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from coda_core.audio import AudioFrame
from coda_core.commands import Interrupt, Say
from coda_core.conversation import Conversation
from coda_core.errors import ConversationClosed, ConversationError, Incapable
from coda_core.events import Closed, Event, Injection, Interrupted, Opened
from coda_core.injecting import WAITING_LIMIT
from coda_core.interfaces import SlotOptions
from coda_core.kernel import Kernel
from coda_core.testing import ScriptedProcessor
from coda_core.text import ExtractedText

MakeKernel = Callable[..., Kernel]
QUIET = np.zeros(1_920, np.float32)


async def step(conversation: Conversation, frames: int = 1) -> None:
    for _ in range(frames):
        await conversation.send(QUIET)
        await conversation.drain()


async def test_a_receipt_goes_from_queued_to_finished_with_frames(scripted_kernel: MakeKernel) -> None:
    async with scripted_kernel() as kernel, kernel.open_conversation() as conversation:
        reader = conversation.subscribe(Injection)
        await step(conversation)
        receipt = await conversation.say("world world", deadline_s=1.0)
        assert (receipt.status, receipt.over, receipt.text) == ("queued", False, "world world")
        second = await conversation.say("hello")
        assert second.id > receipt.id
        waiting = asyncio.create_task(second.wait())
        await step(conversation, 8)
        assert await receipt.wait() == "finished"
        assert await waiting == "finished"
        # Words begin at every second step of the script.
        assert [receipt.frame(each) for each in ("queued", "started", "finished", "expired")] == [1, 2, 3, None]
        assert [second.frame(each) for each in ("queued", "started", "finished")] == [1, 4, 4]
        await conversation.close()
        events = [event async for event in reader]
        assert [event for event in events if event.command == receipt.id] == receipt.history
        assert all(event.sequence == event.command for event in events if event.status == "queued")
        assert all(event.time_s > 0 for event in events)


async def test_settings_of_a_text_reach_the_processor_in_steps(scripted_kernel: MakeKernel) -> None:
    processor = ScriptedProcessor()
    async with scripted_kernel(processor) as kernel, kernel.open_conversation() as conversation:
        one = await conversation.say("a", deadline_s=0.8, expires_s=1.6, yields=True)
        two = await conversation.say("b")
        await conversation.interrupt(for_s=0.01)
        await conversation.interrupt()
        await step(conversation)
        assert [command for _, command in processor.commands] == [
            Say(id=one.id, text="a", deadline_frames=10, expires_frames=20, yields=True),
            Say(id=two.id, text="b", deadline_frames=50),
            Interrupt(frames=1),
            Interrupt(),
        ]
        assert (one.status, two.status) == ("cancelled", "cancelled")


async def test_a_text_can_be_given_up(scripted_kernel: MakeKernel) -> None:
    processor = ScriptedProcessor(script=(3,))
    async with scripted_kernel(processor) as kernel, kernel.open_conversation() as conversation:
        receipt = await conversation.say("hello world", deadline_s=60)
        await step(conversation)
        receipt.cancel()
        assert receipt.status == "queued"
        await step(conversation)
        assert (await receipt.wait(), receipt.frame("cancelled")) == ("cancelled", 1)
        receipt.cancel()
        late = await conversation.say("hello", expires_s=0.16, deadline_s=60)
        await step(conversation, 4)
        assert late.status == "expired"


async def test_what_is_not_said_by_the_end_is_cancelled_there(scripted_kernel: MakeKernel) -> None:
    async with scripted_kernel() as kernel:
        async with kernel.open_conversation() as conversation:
            reader = conversation.subscribe(Event)
            receipt = await conversation.say("hello")
        assert receipt.status == "cancelled"
        assert [type(event) async for event in reader] == [Injection, Injection, Closed]
        with pytest.raises(ConversationClosed):
            await conversation.say("hello")


async def test_a_text_survives_being_parked(scripted_kernel: MakeKernel) -> None:
    processor = ScriptedProcessor(script=(3, 3, 3, 1))
    async with scripted_kernel(processor) as kernel, kernel.open_conversation() as conversation:
        receipt = await conversation.say("hello world")
        await step(conversation)
        await conversation.park()
        assert not receipt.over
        await conversation.resume()
        await step(conversation, 5)
        assert receipt.status == "finished"
        assert [receipt.frame("started"), receipt.frame("finished")] == [3, 4]


async def test_an_interruption_flushes_audio_and_keeps_the_rest(scripted_kernel: MakeKernel) -> None:
    async with scripted_kernel() as kernel, kernel.open_conversation() as conversation:
        everything = conversation.subscribe(size=100)
        await step(conversation, 6)
        await conversation.interrupt(for_s=0.16)
        await step(conversation, 5)
        await conversation.close()
        items = [item async for item in everything]
        assert everything.dropped == 0
        frames = [item for item in items if isinstance(item, AudioFrame)]
        assert [frame.frame for frame in frames] == [6, 7, 8, 9, 10]
        (interrupted,) = (item for item in items if isinstance(item, Interrupted))
        assert (interrupted.frame, interrupted.for_s) == (6, 0.16)
        assert items.index(interrupted) < items.index(frames[0])
        words = [item.text for item in items if isinstance(item, ExtractedText)]
        assert words[:3] == ["hello", "world", "hello"]


async def test_what_the_processor_cannot_do_is_said_and_leaves_no_trace(scripted_kernel: MakeKernel) -> None:
    processor = ScriptedProcessor(capabilities=frozenset())
    async with scripted_kernel(processor) as kernel:
        async with kernel.open_conversation() as conversation:
            reader = conversation.subscribe(Event)
            with pytest.raises(Incapable, match='"scripted" cannot speak a text that it is given'):
                await conversation.say("hello")
            with pytest.raises(Incapable, match='lacks the capability "interrupt"'):
                await conversation.interrupt()
        for asked in (SlotOptions(prompt="Whisper."), SlotOptions(voice="ada.wav")):
            with pytest.raises(Incapable, match="cannot take in a prompt"):
                async with kernel.open_conversation(options=asked):
                    pass
        with pytest.raises(Incapable, match="cannot be kept silent"):
            async with kernel.open_conversation(greeting=False):
                pass
        assert [type(event) async for event in reader] == [Closed]
        assert not processor.opened
        assert not kernel.conversations


@pytest.mark.parametrize(
    ("text", "times"),
    [("", {}), (" \n", {}), ("hello", {"deadline_s": -1.0}), ("hello", {"expires_s": -0.1})],
)
async def test_nonsense_is_refused(scripted_kernel: MakeKernel, text: str, times: dict[str, float]) -> None:
    async with scripted_kernel() as kernel, kernel.open_conversation() as conversation:
        with pytest.raises(ValueError, match=r"nothing to say|0 or more"):
            await conversation.say(text, **times)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="above 0"):
            await conversation.interrupt(for_s=0)


async def test_a_flood_of_texts_is_refused(scripted_kernel: MakeKernel) -> None:
    async with scripted_kernel() as kernel, kernel.open_conversation() as conversation:
        for _ in range(WAITING_LIMIT):
            await conversation.say("hello")
        with pytest.raises(ConversationError, match="100 texts wait"):
            await conversation.say("hello")
        await step(conversation, 2)
        await conversation.say("hello")


async def test_a_prompt_a_voice_and_no_greeting_are_part_of_the_opening(scripted_kernel: MakeKernel) -> None:
    processor = ScriptedProcessor()
    async with (
        scripted_kernel(processor) as kernel,
        kernel.open_conversation(prompt="You whisper.", voice="ada.wav", greeting=False) as conversation,
    ):
        assert processor.opened[0] == conversation.options
        assert (conversation.options.prompt, conversation.options.greeting) == ("You whisper.", False)
        assert len(processor.batches) == 2
        frames = conversation.subscribe(AudioFrame)
        await step(conversation, 2)
        assert [(await anext(frames)).frame for _ in range(2)] == [0, 1]
        opened = kernel._parts.streaming_manager
        first = (await opened.call("state", lambda: list(kernel._parts.state_store.events(conversation.id))))[0]
        assert isinstance(first, Opened)
        assert first.options["voice"] == "ada.wav"
