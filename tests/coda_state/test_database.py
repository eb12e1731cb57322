"""Opening the database file: made where missing, refused where it is not Coda's to change."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from coda_core.errors import StoreError
from coda_core.events import Event
from coda_state.database import open_database
from coda_state.schema import APPLICATION_ID, MIGRATIONS
from coda_state.sqlite import SqliteStore

Talk = Callable[..., list[Event]]


def refused(path: Path) -> str:
    """Open a database that has to be refused, with no trace; return the message."""
    before = {file: file.read_bytes() for file in path.parent.iterdir() if file.is_file()}
    with pytest.raises(StoreError) as caught:
        open_database(path, 0.0)
    assert {file: file.read_bytes() for file in path.parent.iterdir() if file.is_file()} == before
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def test_a_missing_file_and_its_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "of" / "this stack" / "conversations #1?.db"
    with closing(open_database(path, 0.0)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_only_its_owner_may_read_a_new_database(path: Path) -> None:
    open_database(path, 0.0).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_empty_file_becomes_a_database(path: Path) -> None:
    path.touch()
    with closing(open_database(path, 0.0)) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (0,)


def test_opening_again_changes_no_byte(path: Path) -> None:
    open_database(path, 0.0).close()
    before = path.read_bytes()
    open_database(path, 0.0).close()
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"x", b"# a stack\n" * 1000, b"SQLite format 4\0" + bytes(4080)])
def test_a_file_that_is_no_database_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert "Coda leaves it as it is: name another file" in refused(path)


@pytest.mark.parametrize("length", [1, 100, 512, 4096, 20_000])
def test_a_truncated_database_is_refused(path: Path, sqlite: SqliteStore, talk: Talk, length: int) -> None:
    sqlite.append(talk("a", ["one"] * 100))
    sqlite.close()
    path.write_bytes(path.read_bytes()[:length])
    assert "Coda leaves it as it is" in refused(path)


def test_damage_further_in_is_found_when_it_is_read_and_nothing_is_written(
    path: Path, sqlite: SqliteStore, talk: Talk
) -> None:
    sqlite.append(talk("a", ["one"] * 1000))
    sqlite.close()
    content = bytearray(path.read_bytes())
    for page in range(12, len(content) // 4096):
        content[page * 4096 : page * 4096 + 16] = b"\xff" * 16
    path.write_bytes(content)
    sqlite.open()
    with pytest.raises(StoreError, match=r"the database is damaged .* Put back a copy"):
        list(sqlite.events("a"))
    sqlite.close()
    assert path.read_bytes() == content


def test_the_database_of_another_program_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE places (url TEXT)")
    assert "is the database of another program" in refused(path)


def test_an_empty_database_of_another_program_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA application_id = 12345")
    assert "is the database of another program" in refused(path)


def test_the_database_of_a_newer_coda_is_refused(path: Path) -> None:
    newer = [*MIGRATIONS, ["CREATE TABLE invented (later TEXT)"]]
    open_database(path, 0.0, newer).close()
    assert (
        f"was written by a newer Coda (schema {len(newer)}; this one knows up to {len(MIGRATIONS)}). "
        "Install that version of Coda" in refused(path)
    )


def test_the_database_of_an_older_coda_is_brought_up_to_date(path: Path, sqlite: SqliteStore, talk: Talk) -> None:
    sqlite.append(talk("a"))
    sqlite.close()
    newer = [*MIGRATIONS, ["ALTER TABLE conversations ADD COLUMN title TEXT NOT NULL DEFAULT 'untitled'"]]
    with closing(open_database(path, 0.0, newer)) as connection:
        assert connection.execute("SELECT conversation, title FROM conversations").fetchall() == [("a", "untitled")]
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (2,)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    assert "could not open the database: it cannot be opened" in refused(folder)
    assert list(folder.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match=r"could not make the database: .* a folder that can be written to"):
        open_database(tmp_path / "file" / "conversations.db", 0.0)


def test_a_database_that_another_process_locks_is_refused(path: Path) -> None:
    open_database(path, 0.0).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="could not open the database: another process holds its lock"):
            open_database(path, 0.0)
        other.execute("ROLLBACK")
    open_database(path, 0.0).close()
