"""A damaged database: never overwritten, set aside when something has to be stored."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from coda_core.errors import StoreError
from coda_core.events import Event
from coda_state.database import set_aside
from coda_state.sqlite import SqliteStore

Talk = Callable[..., list[Event]]


@pytest.fixture
def damaged(path: Path, talk: Talk) -> bytes:
    """Make a database of Coda's that is cut short; return what is left of it."""
    with closing(SqliteStore(path, 0.0, logging.getLogger("coda.test"))) as store:
        store.open()
        store.append(talk("old", ["said"] * 100))
    path.write_bytes(path.read_bytes()[:20_000])
    return path.read_bytes()


def asides(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.damaged-*"))


def test_who_only_reads_changes_nothing(path: Path, sqlite: SqliteStore, damaged: bytes) -> None:
    sqlite.close()
    sqlite.open()
    for read in (sqlite.find, lambda: list(sqlite.events("old")), lambda: sqlite.search("said")):
        with pytest.raises(StoreError, match="the database is damaged"):
            read()
    with pytest.raises(StoreError, match="the database is damaged"):
        sqlite.delete("old")
    sqlite.close()
    assert path.read_bytes() == damaged
    assert asides(path) == []


def test_opened_damaged_it_is_set_aside_with_the_first_event(
    path: Path, sqlite: SqliteStore, damaged: bytes, talk: Talk, caplog: pytest.LogCaptureFixture
) -> None:
    sqlite.close()
    sqlite.open()
    sqlite.append(talk("new"))
    assert [row.conversation for row in sqlite.find()] == ["new"]
    (aside,) = asides(path)
    assert aside.read_bytes() == damaged
    loud = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert [str(aside) in record.getMessage() for record in loud] == [True]


def test_damaged_while_it_is_used_it_is_set_aside_and_live_conversations_go_on(
    path: Path, sqlite: SqliteStore, talk: Talk
) -> None:
    told = talk("a", ["one"] * 300)
    sqlite.append(told[:200])
    sqlite.close()
    sqlite.open()
    content = bytearray(path.read_bytes())
    for page in range(4, len(content) // 4096):
        content[page * 4096 : page * 4096 + 16] = b"\xff" * 16
    path.write_bytes(content)
    sqlite.append(told[200:])
    assert list(sqlite.events("a")) == told[200:]
    (aside,) = asides(path)
    assert aside.read_bytes() == content


def test_several_are_set_aside_under_names_of_their_own(path: Path, sqlite: SqliteStore, talk: Talk) -> None:
    for number in range(3):
        sqlite.append(talk(f"c{number}"))
        sqlite.close()
        assert set_aside(path, "now") is not None
        sqlite.open()
    assert [file.name for file in asides(path)] == [f"{path.name}.damaged-now{end}" for end in ("", "-2", "-3")]


@pytest.mark.parametrize("content", [b"", b"my diary" * 1000, b"SQLite format 3\0" + bytes(4080)])
def test_what_may_be_anything_is_never_moved(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert set_aside(path, "now") is None
    assert path.read_bytes() == content
