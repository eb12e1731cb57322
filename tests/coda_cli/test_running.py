from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import click
import pytest

from coda_core.cli.running import run_until_stopped


def test_returns_the_result() -> None:
    async def work() -> int:
        return 3

    assert run_until_stopped(work()) == 3


async def stopped_by(number: signal.Signals, closed: list[str]) -> None:
    try:
        os.kill(os.getpid(), number)
        await asyncio.Event().wait()
    finally:
        # What a component does to close may wait.
        await asyncio.sleep(0)
        closed.append("closed")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_closes_what_is_open(number: signal.Signals, code: int) -> None:
    closed: list[str] = []
    with pytest.raises(click.exceptions.Exit) as stopped:
        run_until_stopped(stopped_by(number, closed))
    assert stopped.value.exit_code == code
    assert closed == ["closed"]


def test_an_ignored_signal_stays_ignored() -> None:
    async def work() -> str:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0)
        return "done"

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run_until_stopped(work()) == "done"
    finally:
        signal.signal(signal.SIGHUP, before)


def test_sigterm_means_again_what_it_did_before() -> None:
    before = signal.getsignal(signal.SIGTERM)

    async def work() -> None:
        return

    run_until_stopped(work())
    assert signal.getsignal(signal.SIGTERM) == before


def test_cancellation_from_within_is_no_interruption() -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run_until_stopped(work())


BLOCKED_LOOP = """
import threading
from coda_core.cli.running import run_until_stopped

async def work():
    print("blocked", flush=True)
    threading.Event().wait()

run_until_stopped(work())
"""

UNREAD_STDERR = """
import asyncio, os, sys
from coda_core.cli.running import run_until_stopped

async def work():
    os.set_blocking(2, False)
    try:
        while True:
            os.write(2, bytes(4096))
    except BlockingIOError:
        os.set_blocking(2, True)
    # The thread holds the lock of the stream until somebody reads.
    writing = asyncio.create_task(asyncio.to_thread(print, "more", file=sys.stderr))
    print("blocked", flush=True)
    await writing

run_until_stopped(work())
"""


@pytest.mark.parametrize("script", [BLOCKED_LOOP, UNREAD_STDERR])
def test_second_signal_ends_a_process_that_is_stuck(script: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"blocked\n"
        # Two signals of one kind may become one: the second is sent until it was taken.
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
        assert process.returncode == 130
    finally:
        process.kill()
        process.communicate()
