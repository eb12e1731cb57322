"""The sqlite store in processes that are killed, race each other or run out of room."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from coda_state.sqlite import SqliteStore

Child = Callable[..., subprocess.Popen[str]]

OPEN = """
import logging, sys
from pathlib import Path
from coda_core.events import Fault
from coda_state.sqlite import SqliteStore

store = SqliteStore(Path(sys.argv[1]), 30.0, logging.getLogger("coda.test"))
def ready(): print("ready", flush=True); sys.stdin.readline()
"""

PUT = (
    OPEN
    + """
store.open()
store.put_blob("a", "state", [b"old"])
def chunks():
    while True:
        yield b"new" * 100_000
        print("chunk", flush=True)
ready()
store.put_blob("a", "state", chunks())
"""
)

OPEN_AT_ONCE = (
    OPEN
    + """
ready()
store.open()
store.append([Fault(conversation=sys.argv[2], sequence=at) for at in range(1, 51)])
store.close()
"""
)

NO_ROOM = (
    OPEN
    + """
import resource
from coda_core.errors import StoreError
store.open()
store.append([Fault(conversation="a", sequence=1)])
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
try:
    store.append([Fault(conversation="a", sequence=at, message="x" * 1000) for at in range(2, 1000)])
except StoreError as error:
    print(error)
try:
    store.put_blob("a", "state", [bytes(10_000_000)])
except StoreError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.append([Fault(conversation="a", sequence=2)])
print([event.sequence for event in store.events("a")])
store.close()
"""
)

LARGE_BLOB = (
    OPEN
    + """
import resource
store.open()
store.put_blob("a", "state", [bytes(2**20)])
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
store.put_blob("a", "state", (bytes([at]) * 2**20 for at in range(64)))
written = peak()
assert [chunk[0] for chunk in store.get_blob("a", "state")] == list(range(64))
print(written - before, peak() - written)
store.close()
"""
)


def go(process: subprocess.Popen[str]) -> None:
    """Let a child pass its `ready`."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def lines(process: subprocess.Popen[str], count: int) -> list[str]:
    """Read lines from a child."""
    assert process.stdout is not None
    return [process.stdout.readline().strip() for _ in range(count)]


def reopened(path: Path) -> SqliteStore:
    store = SqliteStore(path, 0.0, logging.getLogger("coda.test"))
    store.open()
    return store


@pytest.mark.parametrize("chunks", [1, 9, 50])
def test_after_a_kill_in_the_middle_of_a_blob_the_old_one_is_there(child: Child, path: Path, chunks: int) -> None:
    process = child(PUT, path)
    lines(process, 1)
    go(process)
    lines(process, chunks)
    process.kill()
    process.communicate()
    with closing(reopened(path)) as store:
        assert list(store.get_blob("a", "state")) == [b"old"]


def test_processes_that_make_one_database_at_once_share_it(child: Child, path: Path) -> None:
    processes = {name: child(OPEN_AT_ONCE, path, name) for name in "abcd"}
    for process in processes.values():
        lines(process, 1)
    for process in processes.values():
        go(process)
    assert [process.wait() for process in processes.values()] == [0] * 4
    with closing(reopened(path)) as store:
        assert {row.conversation: row.events for row in store.find()} == dict.fromkeys("abcd", 50)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_where_the_system_refuses_to_write_it_says_so_and_goes_on_later(child: Child, path: Path) -> None:
    process = child(NO_ROOM, path)
    output, _ = process.communicate()
    events, blob, stored = output.splitlines()
    assert events.startswith(f"{path}: could not store events: the disk")
    assert blob.startswith(f"{path}: could not store 'state': the disk")
    assert stored == "[1, 2]"


def test_a_large_blob_is_not_held_in_memory(child: Child, path: Path) -> None:
    output, _ = child(LARGE_BLOB, path).communicate()
    writing, reading = map(int, output.split())
    assert writing < 16 * 2**20
    assert reading < 16 * 2**20
