"""What other processes do with a store while the suite looks on."""

from __future__ import annotations

import itertools
import resource
import sys
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any

from coda_core.errors import ConversationTaken
from coda_core.events import Event, Fault, Opened
from coda_core.state import Snapshot
from coda_core.text import ExtractedText

__all__ = [
    "append_and_release",
    "append_and_wait",
    "append_many",
    "claim",
    "numbered",
    "read_much",
    "write_for_ever",
    "write_half_a_blob",
]


def numbered(conversation: str, number: int) -> Event:
    """Return an event of every kind that stores tell apart, by its number."""
    if number % 20 == 0:
        return Snapshot(conversation=conversation, sequence=number)
    if number % 3:
        return ExtractedText(
            conversation=conversation,
            sequence=number,
            text=f"word{number}",
            start_s=number * 0.3,
            end_s=number * 0.3 + 0.2,
            confidence=0.5,
        )
    return Fault(conversation=conversation, sequence=number, message=conversation * 300)


def write_for_ever(store: Any, pipe: Connection, stored: Mapping[str, int], first: int) -> None:
    """Go on behind the numbers that are stored, until killed; tell of each call that returned.

    What is told is the last number of every conversation and that of the last blob. `first` is the first turn, so that
    a short life, too, comes to what is done now and then.
    """
    numbers, put = dict(stored), 0
    for turn in itertools.count(first):
        length = (1, 2, 9)[turn % 3]
        store.append([numbered(name, numbers[name] + at) for at in range(1, length + 1) for name in numbers])
        for name in numbers:
            numbers[name] += length
        pipe.send((numbers["a"], put))
        if turn % 7 == 3:
            store.put_blob("a", "state", [str(numbers["a"]).encode()])
            put = numbers["a"]
            pipe.send((numbers["a"], put))
        if turn % 11 == 5:
            store.append([Fault(conversation="scratch", sequence=1)])
            store.delete("scratch")
        if turn % 5 == 4:
            store.trim("c", events=50, snapshots=2)


def write_half_a_blob(store: Any, pipe: Connection) -> None:
    """Replace a blob by one without an end; tell when its old one is stored, and of every chunk."""
    store.put_blob("a", "state", [b"old"])

    def chunks() -> Iterator[bytes]:
        while True:
            yield b"new" * 100_000
            pipe.send("chunk")

    store.put_blob("a", "state", chunks())


def append_many(store: Any, pipe: Connection, conversation: str, count: int) -> None:
    """Append so many events, one by one, as soon as told to; close nothing."""
    pipe.send("ready")
    pipe.recv()
    for at in range(1, count + 1):
        store.append([numbered(conversation, at)])
    pipe.send("done")


def append_and_wait(store: Any, pipe: Connection, conversation: str) -> None:
    """Open a conversation and live on, until told to end."""
    store.append([Opened(conversation=conversation, sequence=1)])
    pipe.send("stored")
    pipe.recv()


def append_and_release(store: Any, pipe: Connection, conversation: str) -> None:
    """Open a conversation, release it, and live on; then append to it once more, and tell what came of that."""
    store.append([Opened(conversation=conversation, sequence=1)])
    store.release(conversation)
    pipe.send("released")
    pipe.recv()
    try:
        store.append([Fault(conversation=conversation, sequence=2), Fault(conversation="other", sequence=1)])
    except ConversationTaken as error:
        pipe.send(error.conversation)
    else:
        pipe.send("stored")
    pipe.recv()


def claim(store: Any, pipe: Connection, conversations: list[str]) -> None:
    """Claim conversations as soon as told to; tell which came; live on until told to end."""
    pipe.send("ready")
    pipe.recv()
    pipe.send([conversation for conversation in conversations if store.claim(conversation)])
    pipe.recv()


def read_much(store: Any, pipe: Connection, mebibytes: int) -> None:
    """Tell by how many bytes the peak of memory rose while a blob was written, read, and events were read."""
    store.put_blob("a", "state", [bytes(2**20)])
    list(store.events("b", 10**9))
    before = _peak()
    store.put_blob("a", "state", (bytes([at]) * 2**20 for at in range(mebibytes)))
    written = _peak()
    read = sum(len(chunk) for chunk in store.get_blob("a", "state"))
    blob = _peak()
    events = sum(1 for _ in store.events("b"))
    pipe.send((read, events, {"put_blob": written - before, "get_blob": blob - written, "events": _peak() - blob}))


def _peak() -> int:
    # In kilobytes, but on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
