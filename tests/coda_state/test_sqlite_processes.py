"""The sqlite store in a process that runs out of room."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

Child = Callable[..., subprocess.Popen[str]]

NO_ROOM = """
import logging, resource, sys
from pathlib import Path
from coda_core.errors import StoreError
from coda_core.events import Fault
from coda_state.sqlite import SqliteStore

store = SqliteStore(Path(sys.argv[1]), 30.0, logging.getLogger("coda.test"))
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


def test_where_the_system_refuses_to_write_it_says_so_and_goes_on_later(child: Child, path: Path) -> None:
    process = child(NO_ROOM, path)
    output, _ = process.communicate()
    events, blob, stored = output.splitlines()
    assert events.startswith(f"{path}: could not store events: the disk")
    assert blob.startswith(f"{path}: could not store 'state': the disk")
    assert stored == "[1, 2]"
