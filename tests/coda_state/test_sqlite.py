"""The sqlite store: threads, other processes beside it, deletion down to the bytes."""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path

import attrs
import pytest

from coda_core.errors import StoreError
from coda_core.events import Closed, Event, Fault, Opened, event_from_json
from coda_core.interfaces import Context
from coda_core.text import ExtractedText
from coda_state.config import SqliteStoreConfig
from coda_state.shards import SHARDS, events_of
from coda_state.sqlite import SqliteStore, open_sqlite_store

Talk = Callable[..., list[Event]]
Enter = Callable[[AbstractAsyncContextManager[SqliteStore]], SqliteStore]


def bytes_of(path: Path) -> bytes:
    """Everything in the files of the database: itself, its log and the log's index."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*")))


def test_it_opens_on_the_loop_is_used_on_a_thread_and_closes_on_the_loop(context: Context, talk: Talk) -> None:
    found: list[list[Event]] = []

    async def run() -> None:
        async with open_sqlite_store(SqliteStoreConfig(), context) as store:

            def follow() -> None:
                store.append(talk("a"))
                found.append(list(store.events("a")))

            follower = threading.Thread(target=follow)
            follower.start()
            await asyncio.to_thread(follower.join)
        with pytest.raises(StoreError, match="the store is closed"):
            store.append(talk("b"))

    asyncio.run(run())
    assert found == [talk("a")]


def test_a_relative_path_is_taken_from_the_stacks_folder(enter: Enter, context: Context, tmp_path: Path) -> None:
    store = enter(open_sqlite_store(SqliteStoreConfig(path=Path("kept/here.db")), context))
    store.append([Closed(conversation="a", sequence=1)])
    assert (tmp_path / "kept" / "here.db").is_file()


def test_cancelled_while_opening_it_closes_what_was_opened(
    context: Context, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, go_on = threading.Event(), threading.Event()
    stores: list[SqliteStore] = []
    really_open = SqliteStore.open

    def slowly(store: SqliteStore) -> None:
        with store._session._lock:
            stores.append(store)
            opening.set()
            go_on.wait()
            really_open(store)

    monkeypatch.setattr(SqliteStore, "open", slowly)

    async def run() -> None:
        async def hold() -> None:
            async with open_sqlite_store(SqliteStoreConfig(), context):
                raise AssertionError("it was cancelled before")

        task = asyncio.ensure_future(hold())
        await asyncio.to_thread(opening.wait)
        task.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert not path.exists()
    with pytest.raises(StoreError, match="the store is closed"):
        stores[0].find()


def test_closing_twice_and_without_opening(path: Path) -> None:
    store = SqliteStore(path, 0.0, logging.getLogger("coda.test"))
    store.close()
    store.open()
    store.close()
    store.close()
    assert list(path.parent.iterdir()) == []


def test_until_something_is_stored_no_file_is_made(sqlite: SqliteStore, path: Path, talk: Talk) -> None:
    found = [*sqlite.find(), *sqlite.events("a"), *sqlite.passages("a"), *sqlite.search("one")]
    assert found == []
    sqlite.delete_blob("a", "state")
    sqlite.trim("a", events=1, snapshots=1)
    assert sqlite.purge(1e12) is None
    assert list(path.parent.iterdir()) == []
    sqlite.append(talk("a"))
    sqlite.close()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_what_another_process_makes_meanwhile_is_found(sqlite: SqliteStore, path: Path, talk: Talk) -> None:
    assert sqlite.find() == []
    with closing(SqliteStore(path, 0.0, logging.getLogger("coda.test"))) as other:
        other.open()
        other.append(talk("a"))
    assert list(sqlite.events("a")) == talk("a")


def test_what_was_stored_is_there_when_it_is_opened_again(path: Path, talk: Talk) -> None:
    told = talk("a", ["one"], user_id="ada")
    for _ in range(3):
        with closing(SqliteStore(path, 0.0, logging.getLogger("coda.test"))) as store:
            store.open()
            store.append(told)
            store.put_blob("a", "state", [b"x" * 2_000_000])
            assert list(store.events("a")) == told
            assert sum(map(len, store.get_blob("a", "state"))) == 2_000_000
            assert [row.user_id for row in store.find()] == ["ada"]


def test_a_commit_waits_for_the_disk(sqlite: SqliteStore, talk: Talk) -> None:
    sqlite.append(talk("a"))
    pragmas = {name: sqlite._session.read(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous")}
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}


def test_another_connection_reads_columns_and_json(sqlite: SqliteStore, path: Path, talk: Talk) -> None:
    told = talk("a", ["one", "two"], user_id="ada", time_s=10.0)
    sqlite.append(told)
    with closing(sqlite3.connect(path)) as other:
        rows = other.execute("SELECT sequence, type, version, frame, time_s, payload FROM events").fetchall()
        assert [row[:5] for row in rows] == [
            (event.sequence, event.type, event.version, event.frame, event.time_s) for event in told
        ]
        assert [event_from_json(row[5]) for row in rows] == told
        assert other.execute("SELECT json_extract(payload, '$.text') FROM events WHERE type = 'text'").fetchall() == [
            ("one",),
            ("two",),
        ]


def test_another_connection_reads_while_a_blob_is_written(sqlite: SqliteStore, path: Path, talk: Talk) -> None:
    sqlite.append(talk("a"))
    seen: list[tuple[int, int]] = []
    with closing(sqlite3.connect(path, timeout=0)) as other:

        def chunks() -> Iterator[bytes]:
            for _ in range(8):
                yield bytes(2**20)
                seen.append(
                    other.execute("SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM blobs)").fetchone()
                )

        sqlite.put_blob("a", "state", chunks())
        assert seen == [(2, 0)] * 8
        assert other.execute("SELECT bytes FROM blobs").fetchall() == [(8 * 2**20,)]


def test_while_another_process_writes_it_says_so_and_goes_on_later(sqlite: SqliteStore, path: Path, talk: Talk) -> None:
    sqlite.append(talk("b"))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"another process holds its lock .* raise busy_timeout_seconds"):
            sqlite.append(talk("a"))
        assert [row.conversation for row in sqlite.find()] == ["b"]
        other.execute("ROLLBACK")
    sqlite.append(talk("a"))
    assert list(sqlite.events("a")) == talk("a")


def test_two_stores_on_one_file(sqlite: SqliteStore, path: Path, talk: Talk) -> None:
    with closing(SqliteStore(path, 0.0, logging.getLogger("coda.test"))) as other:
        other.open()
        for at in range(10):
            (sqlite, other)[at % 2].append(talk(f"c{at}", time_s=at))
        assert sqlite.find() == other.find()
        assert len(other.find()) == 10


def test_a_full_database_loses_nothing_and_goes_on_when_there_is_room(sqlite: SqliteStore, talk: Talk) -> None:
    sqlite.append(talk("a"))
    pages = sqlite._session.read("PRAGMA page_count")[0][0]
    sqlite._session.read(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreError, match=r"could not store events: the disk is full .* Free some space"):
        sqlite.append(talk("b", ["word" * 100] * 100))
    with pytest.raises(StoreError, match="could not store 'state': the disk is full"):
        sqlite.put_blob("a", "state", [bytes(2**20)] * 4)
    assert [row.conversation for row in sqlite.find()] == ["a"]
    sqlite._session.read(f"PRAGMA max_page_count = {pages + 1000}")
    sqlite.append(talk("b", ["word" * 100] * 100))
    assert len(list(sqlite.events("b"))) == 102


def test_a_damaged_event_is_named(sqlite: SqliteStore, path: Path, talk: Talk) -> None:
    sqlite.append(talk("a"))
    with closing(sqlite3.connect(path)) as other, other:
        for shard in range(SHARDS):
            other.execute(f"UPDATE {events_of(shard)} SET payload = substr(payload, 1, 20) WHERE sequence = 2")
    with pytest.raises(StoreError, match="a stored event of conversation a is damaged"):
        list(sqlite.events("a"))


def test_a_blob_that_is_replaced_while_it_is_read_is_not_mixed(sqlite: SqliteStore) -> None:
    sqlite.put_blob("a", "state", [b"1" * 3_000_000])
    reading = sqlite.get_blob("a", "state")
    next(reading)
    sqlite.put_blob("a", "state", [b"2" * 3_000_000])
    with pytest.raises(StoreError, match="'state' of conversation a was replaced or deleted"):
        list(reading)


@pytest.mark.parametrize("seed", range(2))
def test_delete_leaves_nothing_of_a_conversation_in_the_files(sqlite: SqliteStore, path: Path, seed: int) -> None:
    draw = random.Random(seed)
    live = {f"conversation-{at:03d}-" for at in range(20)}
    numbers = dict.fromkeys(live, 0)
    gone: set[str] = set()
    for _ in range(6):
        for _ in range(40):
            batch: list[Event] = []
            for name in draw.sample(sorted(live), draw.randint(1, 10)):
                numbers[name] += 1
                mark = f"said in {name} " * draw.choice((1, 2, 5, 20, 400 if draw.random() < 0.05 else 3))
                kind: Event = Fault(message=mark)
                if numbers[name] == 1:
                    kind = Opened(user_id=f"user of {name}")
                elif draw.random() < 0.5:
                    # Apart by more than a pause, so that it is in the full-text index at once.
                    start_s = numbers[name] * 9.0
                    word = f"{name.replace('-', 'x')}{numbers[name]}"
                    kind = ExtractedText(text=word, start_s=start_s, end_s=start_s, confidence=1.0)
                batch.append(attrs.evolve(kind, conversation=name, sequence=numbers[name]))
            sqlite.append(batch)
        sqlite.put_blob(name, f"blob of {name}", [mark.encode()] * draw.randint(1, 20_000))
        sqlite.delete(name)
        live.remove(name)
        gone.add(name)
        left = bytes_of(path)
        told = {name for name in live if numbers[name]}
        assert {name for name in gone | live if name.encode() in left} == told
        # In the index a word stands apart from the first bytes that it shares with the one before it.
        assert not [name for name in gone if name.replace("-", "x").encode() in left]
        assert not [name for name in gone if f"{name[-4:-1]}x".encode() in left]


def test_delete_while_another_process_reads_says_so_and_is_finished_later(
    sqlite: SqliteStore, path: Path, talk: Talk
) -> None:
    sqlite.append([*talk("a", ["secret"]), *talk("b")])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM events").fetchone() == (5,)
        with pytest.raises(StoreError, match=r"its bytes may linger .* another process is reading an old state"):
            sqlite.delete("a")
        assert list(sqlite.events("a")) == []
        assert other.execute("SELECT count(*) FROM events").fetchone() == (5,)
        other.execute("COMMIT")
        assert b"secret" in bytes_of(path)
        sqlite.delete("a")
    assert b"secret" not in bytes_of(path)
    assert list(sqlite.events("b")) == talk("b")


def test_opening_finishes_a_deletion_that_was_cut_short(path: Path, talk: Talk) -> None:
    def opened() -> SqliteStore:
        store = SqliteStore(path, 0.0, logging.getLogger("coda.test"))
        store.open()
        return store

    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        with closing(opened()) as store:
            store.append(talk("a", ["secret"]))
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM events").fetchone()
            with pytest.raises(StoreError, match="may linger"):
                store.delete("a")
        opened().close()
        assert b"secret" in bytes_of(path)
    opened().close()
    assert b"secret" not in bytes_of(path)


def test_the_log_does_not_stay_large(sqlite: SqliteStore, path: Path) -> None:
    sqlite.put_blob("a", "state", [bytes(2**20)] * 40)
    sqlite.append([Closed(conversation="a", sequence=1)])
    assert path.with_name(f"{path.name}-wal").stat().st_size <= 16 * 2**20


def test_what_another_process_deletes_does_not_come_back_in_a_later_passage(
    sqlite: SqliteStore, path: Path, talk: Talk
) -> None:
    sqlite.append(talk("a", ["secret"])[:-1])
    with closing(SqliteStore(path, 0.0, logging.getLogger("coda.test"))) as other:
        other.open()
        other.delete("a")
    sqlite.append(talk("b", ["open"])[:-1])
    sqlite.append(talk("a", ["secret", "later"])[2:])
    assert [passage.text for name in "ab" for passage in sqlite.passages(name)] == ["later", "open"]
    assert b"secret" not in bytes_of(path)
