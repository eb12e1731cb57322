"""What happens when the database goes away, and comes back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np
import psycopg
import pytest
from coda_core import Closed, ConversationTaken, Event, ExtractedText, Fault, StoreError
from coda_core.events import StoreFailing, StoreRecovered
from coda_core.testing.conformance.store_suite import talk
from psycopg import capabilities

from coda_postgres.answering import AnsweringConnection, NoAnswer
from coda_postgres.config import PostgresStoreConfig
from coda_postgres.store import PostgresStore
from coda_postgres_testing.server import Server
from coda_postgres_testing.serving import stack_of

Opened = Callable[[PostgresStoreConfig], PostgresStore]
FRAME = np.zeros(1_920, np.float32)


async def test_audio_goes_on_while_the_database_is_gone(own_server: Server, tmp_path: Path) -> None:
    config = PostgresStoreConfig(url=own_server.url, timeout_seconds=2.0)
    async with stack_of(config, tmp_path) as kernel:
        told = kernel.subscribe(StoreFailing, StoreRecovered)
        async with kernel.open_conversation() as conversation:
            words = conversation.subscribe(ExtractedText)
            own_server.stop()
            for _ in range(20):
                await conversation.send(FRAME)
            await conversation.drain()
            assert conversation.frames == 20
            failing = await anext(told)
            assert isinstance(failing, StoreFailing)
            assert "cannot be reached" in failing.message or "shutting down" in failing.message
            own_server.start()
            assert await anext(told) == attrs.evolve(StoreRecovered(), lost=0)
            id = conversation.id
        said = [word.text async for word in words]
    store = PostgresStore(config, logging.getLogger("coda.test"))
    store.open()
    stored = list(store.events(id))
    store.close()
    assert [event.sequence for event in stored] == list(range(1, len(stored) + 1))
    assert [event.text for event in stored if isinstance(event, ExtractedText)] == said
    assert said


async def test_audio_goes_on_while_the_database_hangs(own_server: Server, tmp_path: Path) -> None:
    config = PostgresStoreConfig(url=own_server.url, timeout_seconds=1.0, answer_seconds=0.5)
    async with stack_of(config, tmp_path) as kernel:
        told = kernel.subscribe(StoreFailing, StoreRecovered)
        async with kernel.open_conversation() as conversation:
            with own_server.hanging():
                for _ in range(20):
                    await conversation.send(FRAME)
                await conversation.drain()
                assert conversation.frames == 20
                failing = await anext(told)
                assert isinstance(failing, StoreFailing)
                assert "could not store events: it does not answer (it took a statement and said" in failing.message
                assert "raise answer_seconds" in failing.message
            assert await anext(told) == attrs.evolve(StoreRecovered(), lost=0)
            id = conversation.id
    store = PostgresStore(config, logging.getLogger("coda.test"))
    store.open()
    stored = list(store.events(id))
    store.close()
    assert [event.sequence for event in stored] == list(range(1, len(stored) + 1))
    assert isinstance(stored[-1], Closed)


def test_a_statement_without_an_answer_is_given_up_at_both_ends(config: PostgresStoreConfig, opened: Opened) -> None:
    """Here the server is well, and slow: it hears that nobody waits any more. The next call has a new connection."""
    store = opened(attrs.evolve(config, timeout_seconds=1.0, answer_seconds=0.1))
    store.append(talk("a"))
    held: list[AnsweringConnection] = []

    def dream() -> None:
        with store._session.writing("dream") as connection:
            held.append(connection)
            connection.execute("DELETE FROM conversations")
            connection.execute("SELECT pg_sleep(600)")

    with pytest.raises(StoreError, match=r"could not dream: it does not answer \(.* nothing for 1\.1 s\)"):
        dream()
    assert held[0].closed
    assert list(store.events("a")) == talk("a")
    with psycopg.connect(config.url, autocommit=True) as looking:
        dreaming = "SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)' AND pid <> pg_backend_pid()"
        while capabilities.has_cancel_safe() and looking.execute(dreaming).fetchall():
            pass


def test_what_may_take_long_is_waited_for(config: PostgresStoreConfig, opened: Opened) -> None:
    store = opened(attrs.evolve(config, timeout_seconds=1.0, answer_seconds=0.1))
    with store._session.connected("rest") as connection:
        with connection.unhurried():
            connection.execute("SELECT pg_sleep(1.5)")
        with pytest.raises(NoAnswer):
            connection.execute("SELECT pg_sleep(600)")


def test_whoever_waits_for_a_lock_does_not_take_the_database_for_one_that_hangs(
    config: PostgresStoreConfig, opened: Opened
) -> None:
    store = opened(attrs.evolve(config, timeout_seconds=1.0, answer_seconds=5.0))
    store.append(talk("a")[:1])
    with psycopg.connect(config.url) as other:
        other.execute("SELECT FROM coda.conversations FOR UPDATE")
        with pytest.raises(StoreError, match=r"another process holds a lock .* raise timeout_seconds"):
            store.append(talk("a")[1:])
    store.append(talk("a")[1:])
    assert list(store.events("a")) == talk("a")


def test_a_killed_database_has_all_that_was_acknowledged(own_server: Server, opened: Opened) -> None:
    store = opened(PostgresStoreConfig(url=own_server.url))
    told: list[Event] = [Fault(conversation="a", sequence=at, message="m" * 500) for at in range(1, 101)]
    for event in told[:90]:
        store.append([event])
    store.put_blob("a", "state", [bytes(3_000_000)])
    own_server.kill()
    with pytest.raises(StoreError, match="could not store events"):
        store.append(told[90:])
    own_server.start()
    store.append(told[80:])
    assert list(store.events("a")) == told
    assert b"".join(store.get_blob("a", "state")) == bytes(3_000_000)


def test_a_lost_connection_is_made_again(config: PostgresStoreConfig, server: Server, opened: Opened) -> None:
    store, other = opened(config), opened(config)
    store.append(talk("a")[:1])
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'coda'")
    with pytest.raises(StoreError):
        store.append(talk("a")[1:])
    store.append(talk("a")[1:])
    with pytest.raises(StoreError):
        other.find()
    assert [row.events for row in other.find()] == [2]


def test_what_another_server_took_meanwhile_is_given_up_and_all_else_goes_on(
    config: PostgresStoreConfig, opened: Opened
) -> None:
    store, other = opened(config), opened(config)
    store.append([*talk("a")[:1], *talk("b")[:1]])
    with psycopg.connect(config.url, autocommit=True) as connection:
        connection.execute("UPDATE coda.conversations SET server = NULL WHERE conversation = 'a'")
    assert other.claim("a")
    assert not other.claim("b")
    with pytest.raises(ConversationTaken, match="another server goes on with conversation a"):
        store.append([*talk("a")[1:], *talk("b")[1:]])
    store.append(talk("b")[1:])
    assert [event.sequence for event in store.events("a")] == [1]
    assert [event.sequence for event in store.events("b")] == [1, 2]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("postgresql://ada:hunter2@127.0.0.1:1/coda", "127.0.0.1:1/coda: could not connect: it cannot be reached"),
        ("postgresql://coda:hunter2@/nowhere?host={folder}", "could not connect: there is no such database"),
        ("postgresql://eve:hunter2@/postgres?host={folder}", "could not connect: there is no such user"),
        ("not a url hunter2", "the state store's url cannot be read"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(server: Server, opened: Opened, url: str, found: str) -> None:
    config = PostgresStoreConfig(url=url.replace("{folder}", str(server.folder)))
    with pytest.raises(StoreError) as caught:
        opened(config)
    assert found in str(caught.value)
    assert "hunter2" not in str(caught.value) + repr(config)
