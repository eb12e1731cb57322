"""What an append costs: one word of each of so many conversations, durable; beside it, the store `sqlite`.

python tests/bench.py
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from coda_core import Event, ExtractedText, Opened
from coda_state.sqlite import SqliteStore

from coda_postgres.config import PostgresStoreConfig
from coda_postgres.store import PostgresStore
from coda_postgres_testing.server import Server

CONVERSATIONS, TURNS, WARM = 50, 150, 20


def measure(store: Any) -> list[float]:
    """Return milliseconds of each append."""
    names = [f"c{at}" for at in range(CONVERSATIONS)]
    store.append([Opened(conversation=name, sequence=1) for name in names])
    took = []
    for turn in range(TURNS):
        said: list[Event] = [
            ExtractedText(
                conversation=name,
                sequence=turn + 2,
                text="word",
                start_s=turn * 0.3,
                end_s=turn * 0.3 + 0.2,
                confidence=0.5,
            )
            for name in names
        ]
        began = time.perf_counter()
        store.append(said)
        took.append(1000 * (time.perf_counter() - began))
    return sorted(took[WARM:])


def main() -> None:
    logger = logging.getLogger("coda.bench")
    server = Server(fsync=True)
    try:
        server.start()
        with closing(PostgresStore(PostgresStoreConfig(url=server.url), logger)) as postgres:
            postgres.open()
            _say("postgres", measure(postgres))
    finally:
        server.remove()
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as folder,
        closing(SqliteStore(Path(folder) / "bench.db", 5.0, logger)) as sqlite,
    ):
        sqlite.open()
        _say("sqlite", measure(sqlite))


def _say(name: str, took: list[float]) -> None:
    median, late = statistics.median(took), took[len(took) * 95 // 100]
    print(f"{name:8} {CONVERSATIONS} words: median {median:.1f} ms, p95 {late:.1f} ms")


if __name__ == "__main__":
    main()
