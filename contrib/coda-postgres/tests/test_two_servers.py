"""Several servers on one database, and what becomes of the conversations of one that is killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from coda_core import Closed

from coda_postgres.config import PostgresStoreConfig
from coda_postgres.store import PostgresStore

Opened = Callable[[PostgresStoreConfig], PostgresStore]
Answer = dict[str, Any]

PATIENCE_S: Final = 60.0


class Running:
    """A server of Coda's in another process."""

    def __init__(self, config: PostgresStoreConfig, folder: Path) -> None:
        program = [sys.executable, "-m", "coda_postgres_testing.serving"]
        self.process = subprocess.Popen(
            [*program, config.url, str(config.lease_seconds), str(folder)],
            cwd=Path(__file__).parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> None:
        assert self._answer() == {"ready": True}

    def ask(self, *words: str) -> Answer:
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def stop(self) -> int:
        self.process.communicate("stop\n")
        return self.process.returncode

    def _answer(self) -> Answer:
        assert self.process.stdout is not None
        answer: Answer = json.loads(self.process.stdout.readline())
        return answer


@pytest.fixture
def servers(config: PostgresStoreConfig, tmp_path: Path) -> Iterator[tuple[Running, Running]]:
    """Two servers that are up."""
    both = Running(config, tmp_path), Running(config, tmp_path)
    for each in both:
        each.ready()
    yield both
    for each in both:
        each.kill()


def until(held: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not held():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_of_a_killed_server_nothing_is_lost_and_of_a_living_one_nothing_is_taken(
    servers: tuple[Running, Running], config: PostgresStoreConfig, opened: Opened, tmp_path: Path
) -> None:
    one, other = servers
    store = opened(config)
    talking, waiting, theirs = one.ask("open"), one.ask("open"), other.ask("open")
    assert one.ask("park", waiting["id"])["frames"] == 5
    stored = len(list(store.events(talking["id"])))
    assert other.ask("resume", talking["id"], talking["token"]) == {"error": "NotResumable"}, "it is live elsewhere"

    one.kill()
    until(lambda: store.find(limit=10)[0].conversation != "" and ended(store, talking["id"]) == "interrupted")
    told = list(store.events(talking["id"]))
    assert [event.sequence for event in told] == list(range(1, len(told) + 1))
    assert len(told) > stored
    resumed = other.ask("resume", waiting["id"], waiting["token"])
    assert resumed["frames"] == 10

    third = Running(config, tmp_path)
    third.ready()
    assert third.ask("resume", waiting["id"], waiting["token"]) == {"error": "NotResumable"}
    assert other.ask("say", theirs["id"])["frames"] == 10, "a living server's conversation goes on"
    assert ended(store, theirs["id"]) is None
    assert third.stop() == 0
    assert other.stop() == 0
    assert ended(store, theirs["id"]) == "closed"
    assert store.find(unfinished=True) == []


def test_a_parked_conversation_goes_on_wherever_its_peer_comes_back(servers: tuple[Running, Running]) -> None:
    one, other = servers
    opened = one.ask("open")
    id, token = opened["id"], opened["token"]
    for turn, (here, there) in enumerate([(one, other), (other, one), (one, other)], start=1):
        assert here.ask("park", id)["frames"] == 5 * turn
        assert there.ask("resume", id, token)["frames"] == 5 * (turn + 1)
        assert here.ask("resume", id, token) == {"error": "NotResumable"}
    assert one.stop() == other.stop() == 0


def ended(store: PostgresStore, conversation: str) -> str | None:
    """Return how a conversation ended, None where it did not."""
    return next((event.reason for event in store.events(conversation) if isinstance(event, Closed)), None)
