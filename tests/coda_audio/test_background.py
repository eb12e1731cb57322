from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from coda_audio.background import in_background

Wait = Callable[[Callable[[], object]], Awaitable[None]]


async def test_result_of_a_daemon_thread() -> None:
    thread = await in_background(threading.current_thread)
    assert thread is not threading.main_thread()
    assert thread.daemon


async def test_errors_are_raised_where_it_is_awaited() -> None:
    def fail() -> None:
        raise OSError("no such device")

    with pytest.raises(OSError, match="no such device"):
        await in_background(fail)


async def test_what_nobody_waits_for_any_more_is_given_back(until: Wait) -> None:
    may_end = threading.Event()
    given_back: list[str] = []

    def work() -> str:
        may_end.wait()
        return "device"

    task = asyncio.ensure_future(in_background(work, given_back.append))
    await asyncio.sleep(0)
    task.cancel()
    may_end.set()
    await until(lambda: given_back)
    assert given_back == ["device"]


def test_what_comes_after_the_event_loop_is_given_back() -> None:
    may_end = threading.Event()
    given_back: list[str] = []
    done = threading.Event()

    def work() -> str:
        may_end.wait()
        return "device"

    def give_back(result: str) -> None:
        given_back.append(result)
        done.set()

    async def leave() -> None:
        in_background(work, give_back)

    asyncio.run(leave())
    may_end.set()
    assert done.wait(60)
    assert given_back == ["device"]
