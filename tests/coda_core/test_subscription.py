from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from coda_core.audio import AudioFrame
from coda_core.errors import ConversationBroken
from coda_core.events import Event, Gap, Paused
from coda_core.subscription import EVENT_LIMIT, Overflow, Subscription, SubscriptionOverflow

SILENCE = np.zeros(1_920, np.float32)


def frame(index: int) -> AudioFrame:
    return AudioFrame("ada", index, SILENCE, SILENCE)


async def rest(subscription: Subscription[Any]) -> list[int]:
    """Read to the end: frame indices, and -1 for an event."""
    return [item.frame if isinstance(item, AudioFrame) else -1 async for item in subscription]


@pytest.mark.parametrize(("overflow", "expected"), [("drop-oldest", [-1, 3, 4, -1]), ("drop-newest", [0, -1, 1, -1])])
async def test_overflow_drops_audio_and_never_events(overflow: Overflow, expected: list[int]) -> None:
    subscription: Subscription[Any] = Subscription((), size=2, overflow=overflow)
    subscription.put(frame(0))
    subscription.put(Gap())
    for index in range(1, 5):
        subscription.put(frame(index))
    subscription.put(Gap())
    subscription.end()
    assert await rest(subscription) == expected
    assert subscription.dropped == 3


async def test_a_reader_can_ask_to_be_disconnected_instead() -> None:
    subscription: Subscription[Any] = Subscription((), size=2, overflow="disconnect")
    for index in range(5):
        subscription.put(frame(index))
    assert (await anext(subscription)).frame == 0
    assert (await anext(subscription)).frame == 1
    with pytest.raises(SubscriptionOverflow, match="2 frames unread"):
        await anext(subscription)


async def test_a_stalled_reader_of_events_is_disconnected_before_it_fills_memory() -> None:
    subscription: Subscription[Event] = Subscription((Event,), size=1, overflow="drop-oldest")
    for _ in range(EVENT_LIMIT + 5):
        subscription.put(Paused())
    for _ in range(EVENT_LIMIT):
        await anext(subscription)
    with pytest.raises(SubscriptionOverflow):
        await anext(subscription)


async def test_kinds_are_chosen() -> None:
    subscription: Subscription[Any] = Subscription((Gap,), size=1, overflow="drop-oldest")
    for item in (frame(0), Paused(), Gap(frames=7)):
        subscription.put(item)
    subscription.end()
    assert [item async for item in subscription] == [Gap(frames=7)]


async def test_a_waiting_reader_wakes() -> None:
    subscription: Subscription[Any] = Subscription((), size=1, overflow="drop-oldest")
    reading = asyncio.create_task(anext(subscription))
    await asyncio.sleep(0)
    subscription.put(frame(3))
    assert (await reading).frame == 3


async def test_a_broken_conversation_is_told_apart_from_a_closed_one() -> None:
    subscription: Subscription[Any] = Subscription((), size=4, overflow="drop-oldest")
    subscription.put(frame(0))
    subscription.end(ConversationBroken("torn"))
    assert (await anext(subscription)).frame == 0
    with pytest.raises(ConversationBroken, match="torn"):
        await anext(subscription)


async def test_leaving_the_block_unsubscribes() -> None:
    subscription: Subscription[Any] = Subscription((), size=4, overflow="drop-oldest")
    async with subscription:
        subscription.put(frame(0))
    subscription.put(frame(1))
    assert subscription.ended
    assert await rest(subscription) == []


def test_a_queue_without_room_or_with_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        Subscription((), size=0, overflow="drop-oldest")
    with pytest.raises(ValueError, match="drop-newest"):
        Subscription((), size=1, overflow="drop-everything")  # type: ignore[arg-type]
