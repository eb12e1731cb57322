"""Conversations that stand still, are parked, lose their peer and come back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from coda_core.audio import AudioFormat, AudioFrame
from coda_core.conversation import Conversation
from coda_core.errors import (
    ConversationClosed,
    ConversationParked,
    Full,
    Incapable,
    ModelError,
    NotResumable,
    StoreError,
)
from coda_core.events import Attached, Closed, Detached, Event, Opened, Parked, Paused, Resumed, Saved, Unparked
from coda_core.interfaces import ParkedState, SlotOptions
from coda_core.kernel import Kernel
from coda_core.subscription import Subscription
from coda_core.testing import ManualClock, ScriptedProcessor
from coda_core.text import ExtractedText
from coda_core.tokens import digest_of
from coda_state.config import SqliteStoreConfig
from coda_streaming.config import OfflineConfig

MakeKernel = Callable[..., Kernel]
FRAME = 1_920


def audio(frames: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, frames * FRAME).astype(np.float32)


async def stored(kernel: Kernel, conversation: str) -> list[Event]:
    await kernel._house.journal.durable(conversation)
    parts = kernel._parts
    events: list[Event] = await parts.streaming_manager.call(
        "state", lambda: list(parts.state_store.events(conversation))
    )
    return events


def marks(events: list[Event]) -> list[tuple[type[Event], int | None]]:
    """Return the events of its life with their frames; words and measures are left out."""
    life = (Opened, Closed, Paused, Resumed, Parked, Unparked, Detached, Attached)
    return [(type(event), event.frame) for event in events if isinstance(event, life)]


async def opened(kernel: Kernel) -> Conversation:
    """Open a conversation that no ``async with`` will close."""
    return await kernel._opener().open(format=AudioFormat(), user_id=None, options=SlotOptions(), metadata={})


def status(conversation: Conversation) -> str:
    """Return its status, which a type checker does not take for unchanged."""
    return conversation.status


async def talk(conversation: Conversation, frames: int, seed: int = 0) -> None:
    await conversation.send(audio(frames, seed))
    await conversation.drain()


async def until(condition: Callable[[], object]) -> None:
    """Let the loop and the worker go on until something holds."""
    for _ in range(100_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to be")


async def test_parked_and_resumed_it_goes_on_with_its_readers(scripted_kernel: MakeKernel) -> None:
    async with scripted_kernel(ScriptedProcessor(slots=1)) as kernel:
        async with kernel.open_conversation() as conversation:
            reader = conversation.subscribe(AudioFrame, size=100)
            await talk(conversation, 3)
            await conversation.park()
            assert (conversation.status, kernel.measures().live) == ("parked", 0)
            await conversation.park()
            for work in (conversation.send(audio(1)), conversation.drain(), conversation.say("hello")):
                with pytest.raises(ConversationParked, match="is parked; resume it first"):
                    await work
            async with kernel.open_conversation() as other:
                await talk(other, 2)
                with pytest.raises(Full):
                    await conversation.resume()
                assert status(conversation) == "parked"
            await conversation.resume()
            await talk(conversation, 2, seed=1)
        assert [frame.frame async for frame in reader] == [0, 1, 2, 3, 4]
        events = await stored(kernel, conversation.id)
        assert marks(events) == [(Opened, None), (Parked, 3), (Unparked, 3), (Closed, 5)]
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        parked = next(event for event in events if isinstance(event, Parked))
        assert parked.reason == "asked"
        assert parked.size_bytes > 0
        assert [event.text for event in events if isinstance(event, ExtractedText)] == ["hello", "world", "hello"]


async def test_it_comes_back_in_another_process_with_another_batch(scripted_kernel: MakeKernel, tmp_path: Path) -> None:
    store = SqliteStoreConfig(path=tmp_path / "conversations.db")
    async with scripted_kernel(ScriptedProcessor(slots=2), state_store=store) as kernel:
        async with kernel.open_conversation(user_id="ada") as conversation:
            await talk(conversation, 3)
            await conversation.pause()
            await conversation.send(audio(2, seed=1))
            await conversation.park()
        assert status(conversation) == "parked"
    with pytest.raises(ConversationClosed):
        await conversation.resume()
    async with scripted_kernel(ScriptedProcessor(slots=5), state_store=store) as kernel:
        async with kernel.open_conversation():
            back = await kernel.resume(conversation.id, token=conversation.resume_token, start=False)
            assert (status(back), back.frames) == ("paused", 3)
            reader = back.subscribe(AudioFrame, size=100)
            await back.resume()
            await talk(back, 1, seed=2)
            await back.close()
            frames = [frame async for frame in reader]
        assert (back.options, back.status) == (conversation.options, "closed")
        spoken = np.concatenate([frame.pcm for frame in frames])
        assert [frame.frame for frame in frames] == [3, 4, 5]
        np.testing.assert_array_equal(spoken, -np.concatenate([audio(2, seed=1), audio(1, seed=2)]))
        events = await stored(kernel, back.id)
        assert marks(events) == [
            (Opened, None),
            (Paused, 3),
            (Parked, 3),
            (Unparked, 3),
            (Attached, 3),
            (Resumed, 3),
            (Closed, 6),
        ]
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        with pytest.raises(NotResumable):
            await kernel.resume(back.id, token=back.resume_token)


async def test_only_the_digest_of_a_token_is_stored_and_only_the_token_opens(scripted_kernel: MakeKernel) -> None:
    async with scripted_kernel() as kernel:
        one, other = await opened(kernel), await opened(kernel)
        first = (await stored(kernel, one.id))[0]
        assert isinstance(first, Opened)
        assert first.token_digest == digest_of(one.resume_token)
        assert one.resume_token not in repr(await stored(kernel, one.id))
        assert len(one.resume_token) >= 43
        refusals = set()
        await other.park()
        for id, token in (
            (one.id, other.resume_token),
            (other.id, one.resume_token),
            (other.id, ""),
            (other.id, "\N{SNOWMAN}"),
            (other.id, first.token_digest),
            ("nobody", one.resume_token),
            ("", ""),
        ):
            with pytest.raises(NotResumable) as refusal:
                await kernel.resume(id, token=token)
            refusals.add(str(refusal.value))
        assert len(refusals) == 1
        assert status(other) == "parked"
        assert (await kernel.resume(other.id, token=other.resume_token)) is other
        assert status(other) == "live"


async def test_a_peer_that_comes_back_in_time_goes_on_where_it_was(scripted_kernel: MakeKernel) -> None:
    clock = ManualClock()
    async with scripted_kernel(clock=clock) as kernel:
        async with kernel.open_conversation() as conversation:
            await talk(conversation, 2)
            await conversation.detach(10.0)
            await conversation.send(audio(1, seed=1))
            await conversation.detach(99.0)
        assert (conversation.status, conversation.detached_since_s) == ("paused", clock.now())
        clock.advance(9.9)
        await kernel._house.manager.call("state", lambda: None)
        assert status(conversation) == "paused"
        assert await kernel.resume(conversation.id, token=conversation.resume_token) is conversation
        assert (conversation.status, conversation.attachment) == ("live", 1)
        clock.advance(1000)
        await conversation.drain()
        assert (conversation.frames, conversation.status) == (3, "live")
        await conversation.close()
        events = await stored(kernel, conversation.id)
        assert marks(events) == [(Opened, None), (Detached, 2), (Attached, 2), (Closed, 3)]


async def test_grace_over_it_is_parked_and_later_closed(scripted_kernel: MakeKernel) -> None:
    clock = ManualClock()
    async with scripted_kernel(clock=clock, keep_parked_hours=2.0) as kernel:
        conversation = await opened(kernel)
        await talk(conversation, 2)
        await conversation.detach(10.0)
        clock.advance(10.0)
        await until(lambda: status(conversation) == "parked")
        clock.advance(7_000.0)
        await kernel.resume(conversation.id, token=conversation.resume_token)
        await talk(conversation, 1)
        await conversation.park()
        clock.advance(7_199.0)
        await kernel._house.manager.call("state", lambda: None)
        assert status(conversation) == "parked"
        clock.advance(1.0)
        await until(lambda: status(conversation) == "closed" and not kernel.conversations)
        events = await stored(kernel, conversation.id)
        assert marks(events) == [
            (Opened, None),
            (Detached, 2),
            (Parked, 2),
            (Unparked, 2),
            (Attached, 2),
            (Parked, 3),
            (Closed, 3),
        ]
        assert [event.reason for event in events if isinstance(event, (Parked, Closed))] == [
            "detached",
            "asked",
            "expired",
        ]
        assert kernel._parts.state_manager.load(conversation.id) is None
        with pytest.raises(NotResumable):
            await kernel.resume(conversation.id, token=conversation.resume_token)


async def test_where_it_cannot_be_parked_it_is_closed(scripted_kernel: MakeKernel) -> None:
    clock = ManualClock()
    processor = ScriptedProcessor(capabilities=frozenset())
    async with scripted_kernel(processor, clock=clock) as kernel:
        conversation = await opened(kernel)
        with pytest.raises(Incapable, match='lacks the capability "park"'):
            await conversation.park()
        await conversation.detach(10.0)
        clock.advance(10.0)
        await until(lambda: status(conversation) == "closed")
        closed = (await stored(kernel, conversation.id))[-1]
        assert isinstance(closed, Closed)
        assert closed.reason == "detached"


async def test_who_lost_the_conversation_to_another_peer_cannot_detach_it(scripted_kernel: MakeKernel) -> None:
    async with scripted_kernel() as kernel:
        conversation = await opened(kernel)
        mine = conversation.attachment
        watching = conversation.subscribe(Attached)
        await kernel.resume(conversation.id, token=conversation.resume_token)
        await anext(watching)
        await conversation.detach(10.0, attachment=mine)
        assert status(conversation) == "live"
        await conversation.detach(10.0, attachment=conversation.attachment)
        assert status(conversation) == "paused"


async def test_a_caller_that_waits_gets_the_slot_of_one_whose_peer_is_gone(scripted_kernel: MakeKernel) -> None:
    clock = ManualClock()
    streaming = OfflineConfig(park_after_s=60)
    async with scripted_kernel(ScriptedProcessor(slots=3), clock=clock, streaming_manager=streaming) as kernel:
        live, still, gone = [await opened(kernel) for _ in range(3)]
        await still.pause()
        clock.advance(1.0)
        await gone.detach(100.0)
        fourth = await opened(kernel)
        assert (live.status, still.status, gone.status) == ("live", "paused", "parked")
        with pytest.raises(Full):
            await opened(kernel)
        clock.advance(60.0)
        fifth = await opened(kernel)
        assert [each.status for each in (live, still, gone, fourth, fifth)] == [
            "live", "parked", "parked", "live", "live",
        ]  # fmt: skip
        with pytest.raises(Full):
            await kernel.resume(gone.id, token=gone.resume_token)
        await fourth.close()
        await kernel.resume(gone.id, token=gone.resume_token)
        reasons = [event.reason for event in await stored(kernel, still.id) if isinstance(event, Parked)]
        assert reasons == ["idle"]


async def test_where_the_idle_one_cannot_be_saved_the_newcomer_is_refused(
    scripted_kernel: MakeKernel, caplog: pytest.LogCaptureFixture
) -> None:
    streaming = OfflineConfig(park_after_s=0, park_idle="silent")
    async with scripted_kernel(ScriptedProcessor(slots=1), streaming_manager=streaming) as kernel:
        idle = await opened(kernel)

        def full(parked: ParkedState) -> None:
            raise StoreError("disk full")

        kernel._parts.state_manager.save = full  # type: ignore[method-assign]
        with pytest.raises(Full) as refusal:
            await opened(kernel)
        assert isinstance(refusal.value.__cause__, StoreError)
        assert status(idle) == "live"
        await talk(idle, 2)
        assert "could not be parked for one that waits: disk full" in caplog.text


async def test_a_failed_save_leaves_it_paused_in_its_slot(scripted_kernel: MakeKernel) -> None:
    async with scripted_kernel() as kernel:
        conversation = await opened(kernel)
        await talk(conversation, 1)
        manager = kernel._parts.state_manager
        save = manager.save

        def full(parked: ParkedState) -> None:
            raise StoreError("disk full")

        manager.save = full  # type: ignore[method-assign]
        with pytest.raises(StoreError, match="disk full"):
            await conversation.park()
        assert status(conversation) == "paused"
        assert kernel.measures().paused == 1
        manager.save = save  # type: ignore[method-assign]
        await conversation.resume()
        await talk(conversation, 2)
        await conversation.park()
        await conversation.resume()
        assert conversation.frames == 3
        events = await stored(kernel, conversation.id)
        assert marks(events) == [(Opened, None), (Paused, 1), (Resumed, 1), (Parked, 3), (Unparked, 3)]


async def test_a_damaged_or_missing_state_is_told_and_it_stays_parked(scripted_kernel: MakeKernel) -> None:
    processor = ScriptedProcessor()
    async with scripted_kernel(processor) as kernel:
        conversation = await opened(kernel)
        await conversation.park()
        manager, store = kernel._parts.state_manager, kernel._parts.state_store
        (name,) = store._blobs[conversation.id]  # type: ignore[attr-defined]
        whole = b"".join(store.get_blob(conversation.id, name))
        store.put_blob(conversation.id, name, [whole[:-1]])
        with pytest.raises(StoreError, match="cannot be read: it is cut short"):
            await kernel.resume(conversation.id, token=conversation.resume_token)
        manager.discard(conversation.id)
        with pytest.raises(StoreError, match=r"the saved state of .* is gone"):
            await conversation.resume()
        store.put_blob(conversation.id, name, [whole])
        assert processor.opened == {}
        await conversation.resume()
        await talk(conversation, 1)


async def test_another_model_refuses_it_and_its_own_takes_it_back(scripted_kernel: MakeKernel, tmp_path: Path) -> None:
    store = SqliteStoreConfig(path=tmp_path / "conversations.db")
    async with scripted_kernel(state_store=store) as kernel:
        conversation = await opened(kernel)
        await conversation.park()
    async with scripted_kernel(ScriptedProcessor(script=(3,)), state_store=store) as kernel:
        with pytest.raises(ModelError, match="parked by another model"):
            await kernel.resume(conversation.id, token=conversation.resume_token)
        assert kernel.conversations == {}
    async with scripted_kernel(state_store=store) as kernel:
        back = await kernel.resume(conversation.id, token=conversation.resume_token)
        await talk(back, 1)


async def test_what_a_killed_process_left_is_ended_or_waits(scripted_kernel: MakeKernel, tmp_path: Path) -> None:
    path, copy = tmp_path / "conversations.db", tmp_path / "copy.db"
    async with scripted_kernel(state_store=SqliteStoreConfig(path=path)) as kernel:
        lost, waiting, back, gone = [await opened(kernel) for _ in range(4)]
        await talk(gone, 2)
        await gone.detach(60.0)
        await until(lambda: gone._stay._saved_frame == 2)
        await stored(kernel, gone.id)
        await waiting.park()
        await back.park()
        await back.resume()
        await stored(kernel, back.id)

        def backup() -> None:
            import sqlite3

            with sqlite3.connect(path) as source, sqlite3.connect(copy) as target:
                source.backup(target)

        await kernel._house.manager.call("state", backup)
    clock = ManualClock()
    async with scripted_kernel(state_store=SqliteStoreConfig(path=copy), clock=clock, keep_parked_hours=1.0) as kernel:
        for id in (lost.id, back.id):
            closed = (await stored(kernel, id))[-1]
            assert isinstance(closed, Closed)
            assert closed.reason == "interrupted"
        for each in (lost, back):
            with pytest.raises(NotResumable):
                await kernel.resume(each.id, token=each.resume_token)
        # It was saved when its peer went away.
        killed = (await stored(kernel, gone.id))[-1]
        assert isinstance(killed, Parked)
        assert (killed.reason, killed.frame) == ("interrupted", 2)
        found = await kernel.resume(gone.id, token=gone.resume_token)
        await talk(found, 1)
        assert found.frames == 3
        await found.close()
        returned = await kernel.resume(waiting.id, token=waiting.resume_token)
        await returned.park()
    async with scripted_kernel(state_store=SqliteStoreConfig(path=copy), clock=clock, keep_parked_hours=1.0) as kernel:
        watching = kernel.subscribe(Closed)
        clock.advance(3_600.0)
        assert (await anext(watching)).conversation == waiting.id
        with pytest.raises(NotResumable):
            await kernel.resume(waiting.id, token=waiting.resume_token)
        assert [event.reason for event in await stored(kernel, waiting.id) if isinstance(event, Closed)] == ["expired"]


async def next_saved(saved: Subscription[Saved], clock: ManualClock) -> Saved:
    """Let time pass until something is saved."""
    waiting = asyncio.ensure_future(anext(saved))
    while not waiting.done():
        clock.advance(1.0)
        await asyncio.sleep(0)
    return waiting.result()


async def test_whose_peer_is_gone_is_saved_until_it_goes_on(scripted_kernel: MakeKernel) -> None:
    async with scripted_kernel() as kernel:
        load = kernel._parts.state_manager.load
        async with kernel.open_conversation() as conversation:
            await talk(conversation, 2)
            await conversation.detach(10.0)
            await conversation.settled()
            await until(lambda: conversation._stay._saved_frame == 2)
            kept = load(conversation.id)
            assert kept is not None
            assert kept.frame == 2
            await kernel.resume(conversation.id, token=conversation.resume_token, start=False)
            assert load(conversation.id) is not None
            await conversation.resume()
            assert load(conversation.id) is None
            await conversation.close()
        saved = [event for event in await stored(kernel, conversation.id) if isinstance(event, Saved)]
        assert [(event.frame, event.reason, event.size_bytes) for event in saved] == [(2, "detached", kept.size_bytes)]


async def test_who_is_live_is_saved_from_time_to_time_where_the_stack_says_so(scripted_kernel: MakeKernel) -> None:
    clock = ManualClock()
    async with scripted_kernel(clock=clock, save_model_state_every_s=5.0) as kernel:
        load = kernel._parts.state_manager.load
        conversation = await opened(kernel)
        saved = conversation.subscribe(Saved)
        for frames in (2, 3):
            await talk(conversation, frames)
            event = await next_saved(saved, clock)
            assert (event.frame, event.reason) == (conversation.frames, "interval")
            kept = load(conversation.id)
            assert kept is not None
            assert (kept.frame, event.size_bytes) == (conversation.frames, kept.size_bytes)
        # Nothing has moved: the next one is of what comes then. Also after it was parked.
        clock.advance(5.0)
        await conversation.park()
        await conversation.resume()
        assert load(conversation.id) is not None
        await talk(conversation, 1)
        assert (await next_saved(saved, clock)).frame == 6
        await conversation.close()
        assert load(conversation.id) is None


async def test_what_ends_by_a_fault_leaves_nothing_saved(scripted_kernel: MakeKernel) -> None:
    clock = ManualClock()
    processor = ScriptedProcessor()
    async with scripted_kernel(processor, clock=clock, save_model_state_every_s=5.0) as kernel:
        conversation = await opened(kernel)
        saved = conversation.subscribe(Saved)
        await talk(conversation, 1)
        await next_saved(saved, clock)
        processor.poisoned.add(0)
        await conversation.send(audio(1))
        await until(lambda: status(conversation) == "broken")
        await asyncio.gather(*kernel._house.background)
        assert kernel._parts.state_manager.load(conversation.id) is None


@pytest.mark.parametrize("park", [True, False])
async def test_at_shutdown_what_stands_still_is_parked_if_the_stack_says_so(
    scripted_kernel: MakeKernel, tmp_path: Path, park: bool
) -> None:
    store = SqliteStoreConfig(path=tmp_path / "conversations.db")
    async with scripted_kernel(state_store=store, park_at_shutdown=park) as kernel:
        live, still, gone, parked = [await opened(kernel) for _ in range(4)]
        await still.pause()
        await gone.detach(30.0)
        await parked.park()
        reader = gone.subscribe(Event)
    assert [each.status for each in (live, still, gone, parked)] == [
        "closed", "parked" if park else "closed", "parked" if park else "closed", "parked",
    ]  # fmt: skip
    assert [type(event) async for event in reader] == [Parked if park else Closed]
    async with scripted_kernel(state_store=store) as kernel:
        for each in (still, gone, parked) if park else (parked,):
            assert (await kernel.resume(each.id, token=each.resume_token)).status == "live"


async def test_a_park_that_nobody_waits_for_any_more_is_still_done(scripted_kernel: MakeKernel) -> None:
    async with scripted_kernel() as kernel:
        conversation = await opened(kernel)
        parking = asyncio.create_task(conversation.park())
        await asyncio.sleep(0)
        parking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await parking
        await conversation.settled()
        await conversation.resume()
        await talk(conversation, 1)
        assert marks(await stored(kernel, conversation.id)) == [(Opened, None), (Parked, 0), (Unparked, 0)]


@pytest.mark.parametrize("waits", range(0, 40, 3))
async def test_a_return_that_is_given_up_leaves_no_slot_taken_for_good(scripted_kernel: MakeKernel, waits: int) -> None:
    clock = ManualClock()
    async with scripted_kernel(clock=clock) as kernel:
        conversation = await opened(kernel)
        await conversation.park()
        back = asyncio.create_task(kernel.resume(conversation.id, token=conversation.resume_token))
        for _ in range(waits):
            await asyncio.sleep(0)
        back.cancel()
        await asyncio.wait([back])
        if back.cancelled():
            await conversation.settled()
            await until(lambda: status(conversation) == "parked" or conversation.detached_since_s is not None)
            clock.advance(60.0)
            await until(lambda: status(conversation) == "parked")


async def test_everything_at_once_ends_in_one_state(scripted_kernel: MakeKernel) -> None:
    """Changes asked for at the same time are made one after the other."""
    async with scripted_kernel() as kernel:
        for seed in range(20):
            conversation = await opened(kernel)
            await conversation.send(audio(2))
            changes: list[Callable[[], Awaitable[object]]] = [
                conversation.pause,
                conversation.resume,
                conversation.park,
                conversation.attach,
                lambda conversation=conversation: conversation.detach(50.0),  # type: ignore[misc]
                lambda conversation=conversation: kernel.resume(  # type: ignore[misc]
                    conversation.id, token=conversation.resume_token
                ),
            ]
            chosen = random.Random(seed).choices(changes, k=12)
            await asyncio.gather(*(change() for change in chosen))
            assert conversation.status in ("live", "paused", "parked")
            await kernel.resume(conversation.id, token=conversation.resume_token)
            await conversation.drain()
            assert (conversation.status, conversation.frames) == ("live", 2)
            late = asyncio.gather(*(change() for change in chosen), conversation.close(), return_exceptions=True)
            assert {type(each) for each in await late if isinstance(each, BaseException)} <= {
                ConversationClosed,
                NotResumable,
            }
            assert status(conversation) == "closed"
        assert kernel.conversations == {}
        assert kernel.measures().live == 0


async def test_thirty_conversations_take_turns_on_ten_slots(scripted_kernel: MakeKernel) -> None:
    """Each says what it would have said with a slot of its own."""
    turns = random.Random(4)
    streaming = OfflineConfig(park_after_s=0)
    async with scripted_kernel(ScriptedProcessor(slots=10), streaming_manager=streaming) as kernel:
        conversations: list[Conversation] = []
        readers = []
        for _ in range(30):
            conversation = await opened(kernel)
            readers.append(conversation.subscribe(AudioFrame, size=1_000))
            conversations.append(conversation)
            await conversation.pause()
        sent: list[list[NDArray[np.float32]]] = [[] for _ in conversations]

        async def turn(number: int) -> None:
            conversation = conversations[number]
            await conversation.resume()
            block = audio(2, seed=turns.randrange(1_000))[: turns.randrange(100, 3_840)]
            sent[number].append(block)
            await conversation.send(block)
            await conversation.pause()

        for _ in range(40):
            await asyncio.gather(*(turn(number) for number in turns.sample(range(30), 6)))
        assert sum(status(each) == "parked" for each in conversations) == 20
        for number, (conversation, reader) in enumerate(zip(conversations, readers, strict=True)):
            await conversation.resume()
            await conversation.drain()
            await conversation.close()
            frames = [frame async for frame in reader]
            said = np.concatenate(sent[number]) if sent[number] else np.zeros(0, np.float32)
            whole = np.pad(said, (0, -len(said) % FRAME))
            assert [frame.frame for frame in frames] == list(range(len(whole) // FRAME))
            np.testing.assert_array_equal(np.concatenate([frame.pcm for frame in frames] or [whole]), -whole)
            words = [event for event in await stored(kernel, conversation.id) if isinstance(event, ExtractedText)]
            assert [word.text for word in words] == ["hello", "world"] * (len(frames) // 4) + ["hello"] * (
                len(frames) % 4 in (1, 2)
            ) + ["hello", "world"] * (len(frames) % 4 == 3)
