"""Whether the process that writes to a conversation is alive."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from coda_core.events import Event, Opened
from coda_state.sqlite import SqliteStore
from coda_state.writers import Writer

Talk = Callable[..., list[Event]]
Child = Callable[..., subprocess.Popen[str]]

WRITE = """
import logging, sys
from pathlib import Path
from coda_core.events import Opened
from coda_state.sqlite import SqliteStore

store = SqliteStore(Path(sys.argv[1]), 30.0, logging.getLogger("coda.test"))
store.open()
store.append([Opened(conversation="theirs", sequence=1)])
print("ready", flush=True)
sys.stdin.readline()
"""


def test_a_mark_lasts_from_claim_to_release(path: Path) -> None:
    one, other = Writer(path), Writer(path)
    assert other.alive() == set()
    one.claim()
    one.claim()
    assert other.alive() == {one.token}
    assert one.alive() == set()
    one.release()
    one.release()
    assert other.alive() == set()
    assert list(path.parent.iterdir()) == []


def test_the_mark_of_a_dead_writer_is_removed(path: Path) -> None:
    mark = path.with_name(f".{path.name}.writer-dead")
    mark.touch()
    assert Writer(path).alive() == set()
    assert not mark.exists()


def test_what_a_living_process_writes_is_not_unfinished_until_it_is_killed(
    sqlite: SqliteStore, path: Path, child: Child
) -> None:
    process = child(WRITE, path)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    assert [row.conversation for row in sqlite.find()] == ["theirs"]
    assert sqlite.find(unfinished=True) == []
    process.kill()
    process.wait()
    assert [row.conversation for row in sqlite.find(unfinished=True)] == ["theirs"]
    sqlite.close()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_who_goes_on_with_a_conversation_is_its_writer(sqlite: SqliteStore, path: Path, talk: Talk) -> None:
    sqlite.append([Opened(conversation="a", sequence=1)])
    with closing(SqliteStore(path, 0.0, logging.getLogger("coda.test"))) as other:
        other.open()
        assert other.find(unfinished=True) == []
        sqlite.close()
        assert [row.conversation for row in other.find(unfinished=True)] == ["a"]
        other.append(talk("a", ["word"])[1:2])
        sqlite.open()
        assert sqlite.find(unfinished=True) == []
