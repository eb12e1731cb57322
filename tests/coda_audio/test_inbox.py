from __future__ import annotations

import asyncio
import threading

import numpy as np

from coda_audio.inbox import Inbox
from coda_core.testing import ManualClock

RATE = 48_000


async def test_blocks_come_out_in_order_with_their_time() -> None:
    clock = ManualClock(start_s=5.0)
    inbox = Inbox(asyncio.get_running_loop(), clock, most_s=1.0)
    block = np.zeros((480, 1), np.float32)

    def callback() -> None:
        for value in range(3):
            block.fill(value)
            inbox.put(block, RATE)
            clock.advance(0.01)

    thread = threading.Thread(target=callback)
    thread.start()
    await inbox.wake.wait()
    thread.join()
    taken = [inbox.take() for _ in range(4)]
    assert [(float(each[0][0, 0]), round(each[1], 2)) for each in taken if each is not None] == [
        (0.0, 5.0),
        (1.0, 5.01),
        (2.0, 5.02),
    ]
    assert taken[3] is None


async def test_a_loop_that_stood_still_loses_the_oldest_and_counts() -> None:
    inbox = Inbox(asyncio.get_running_loop(), ManualClock(), most_s=0.05)
    for value in range(8):
        inbox.put(np.full((480, 1), value, np.float32), RATE)
    assert round(inbox.dropped_s, 2) == 0.03
    first = inbox.take()
    assert first is not None
    assert first[0][0, 0] == 3


def test_a_block_after_the_loop_is_closed_hurts_nobody() -> None:
    async def make() -> Inbox:
        return Inbox(asyncio.get_running_loop(), ManualClock(), most_s=1.0)

    asyncio.run(make()).put(np.zeros((480, 1), np.float32), RATE)
