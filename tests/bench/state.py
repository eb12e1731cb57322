"""What the state manager and the sqlite store cost, beside doing nothing and beside a bare SQLite insert.

python tests/bench/state.py [--conversations 50] [--steps 2000] [--appends 200] [--stored 1000] [--json]
"""

from __future__ import annotations

import logging
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs
import numpy as np
from reporting import Result, arguments, interleave, report

from coda_core.clock import SystemClock
from coda_core.events import Closed, Event, Opened, event_to_json
from coda_core.interfaces import ProcessorInfo, StepRecord, StepRecords
from coda_core.text import ExtractedText, Vocabulary
from coda_state.config import ConversationManagerConfig
from coda_state.conversation import ConversationManager
from coda_state.sqlite import SqliteStore

INFO = ProcessorInfo(
    slots=64,
    delay_frames=1,
    vocabulary=Vocabulary(
        pieces=tuple(bytes([97 + at % 26]) for at in range(8000)),
        word_starts=frozenset(range(4, 8000)),
        padding=3,
        end_of_padding=0,
    ),
    fingerprint="bench",
)
NOISE = np.random.default_rng(0).uniform(-0.3, 0.3, 1920).astype(np.float32)
WORDS = ("weather", "morning", "coffee", "walking", "music", "because", "perhaps", "there", "house", "river")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--conversations", type=int, default=50, help="live at once")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--appends", type=int, default=200)
    parser.add_argument("--stored", type=int, default=1000, help="conversations in the store that is searched")
    chosen = parser.parse_args()
    results = [
        *feeding(chosen.conversations, chosen.steps, record=False),
        *feeding(chosen.conversations, chosen.steps, record=True),
        *appending(chosen.conversations, chosen.appends),
        *large_store(chosen.stored),
    ]
    report("state", results, as_json=chosen.json)


def ranks(case: str, metric: str, seconds: Sequence[float], baseline: Sequence[float]) -> Iterator[Result]:
    for rank in (50, 99):
        value, beside = np.percentile(seconds, rank) * 1000, np.percentile(baseline, rank) * 1000
        yield Result(case=case, metric=f"{metric} p{rank}", unit="ms", value=float(value), baseline=float(beside))


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def feeding(conversations: int, steps: int, *, record: bool) -> Iterator[Result]:
    """The cost of `feed` for one step of all conversations, beside a follower that does nothing.

    Where it is to `record`, parts of the recordings go to a database, on the recorder's thread.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "store.db", 30.0, logging.getLogger("bench"))
        store.open()
        manager = ConversationManager(store, ConversationManagerConfig(), SystemClock())
        for name in range(conversations):
            manager.open(str(name), INFO)
            manager.record([Opened(conversation=str(name), sequence=1, options={"record": record})])
        yield from fed(manager, conversations, steps, "feed and record" if record else "feed")
        manager.finish()
        store.close()


def fed(manager: ConversationManager, conversations: int, steps: int, metric: str) -> Iterator[Result]:
    records = talking(conversations, steps)
    spent: list[float] = []
    idle: list[float] = []
    used: list[float] = []

    def feed(step: StepRecords) -> None:
        before = time.thread_time()
        manager.feed(step)
        used.append(time.thread_time() - before)

    for step in records:
        interleave(
            1,
            lambda step=step: spent.append(timed(lambda: feed(step))),  # type: ignore[misc]
            lambda step=step: idle.append(timed(lambda: nothing(step))),  # type: ignore[misc]
        )
    case = f"{conversations} conversations"
    yield from ranks(case, metric, spent, idle)
    for rank in (50, 99):
        # What a machine that is busy with other things does not change.
        seconds = float(np.percentile(used, rank))
        yield Result(case=case, metric=f"{metric}, processor p{rank}", unit="ms", value=seconds * 1000)


def nothing(step: StepRecords) -> Sequence[Event]:
    del step
    return ()


def talking(conversations: int, steps: int) -> Iterator[StepRecords]:
    """Yield steps in which everybody takes turns of random lengths, and Moshi has a text token in every third."""
    draw = random.Random(0)
    left = [[draw.randint(1, 50), draw.randint(1, 50)] for _ in range(conversations)]
    speaking = [[False, True] for _ in range(conversations)]
    for at in range(steps):
        step = []
        for name in range(conversations):
            for side in (0, 1):
                left[name][side] -= 1
                if left[name][side] == 0:
                    left[name][side] = draw.randint(1, 50)
                    speaking[name][side] = not speaking[name][side]
            step.append(
                StepRecord(
                    conversation=str(name),
                    frame=at,
                    heard=NOISE,
                    spoken=NOISE if at else None,
                    heard_dbfs=-20.0,
                    spoken_dbfs=-20.0,
                    caller_speaking=speaking[name][0],
                    moshi_speaking=speaking[name][1],
                    hangover_frames=4,
                    token=draw.randint(4, 7999) if draw.random() < 0.3 else 3,
                    probability=draw.random(),
                    lateness_s=draw.random() * 0.05,
                )
            )
        yield StepRecords.of(step)


def word(name: str, sequence: int, draw: random.Random) -> ExtractedText:
    return ExtractedText(
        conversation=name,
        sequence=sequence,
        frame=sequence * 4,
        time_s=1e9 + sequence,
        text=draw.choice(WORDS),
        start_s=sequence * 0.32,
        end_s=sequence * 0.32 + 0.24,
        confidence=0.5,
        tokens=(7, 8),
    )


def appending(conversations: int, appends: int) -> Iterator[Result]:
    """The cost of storing one word of every conversation durably, beside the same rows into one bare table."""
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "store.db", 30.0, logging.getLogger("bench"))
        store.open()
        bare = sqlite3.connect(Path(folder) / "bare.db", isolation_level=None)
        bare.execute("PRAGMA journal_mode = WAL")
        bare.execute("PRAGMA synchronous = FULL")
        bare.execute("CREATE TABLE events (conversation TEXT, sequence INTEGER, payload TEXT)")
        spent: list[float] = []
        plain: list[float] = []

        def insert(batch: Sequence[Event]) -> None:
            bare.execute("BEGIN IMMEDIATE")
            rows = [(event.conversation, event.sequence, event_to_json(event)) for event in batch]
            bare.executemany("INSERT INTO events VALUES (?, ?, ?)", rows)
            bare.execute("COMMIT")

        for sequence in range(1, appends + 1):
            batch = [word(f"conversation-{name}", sequence, draw) for name in range(conversations)]
            interleave(
                1,
                lambda batch=batch: spent.append(timed(lambda: store.append(batch))),  # type: ignore[misc]
                lambda batch=batch: plain.append(timed(lambda: insert(batch))),  # type: ignore[misc]
            )
        store.close()
        bare.close()
        # The first one makes the database.
        yield from ranks(f"{conversations} conversations", "append", spent[1:], plain[1:])


def large_store(conversations: int) -> Iterator[Result]:
    """Searching and deleting where many conversations are stored."""
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        store = SqliteStore(path, 30.0, logging.getLogger("bench"))
        store.open()
        for number in range(conversations):
            name = f"conversation-{number}"
            said: list[Event] = [word(name, sequence, draw) for sequence in range(2, 152)]
            said[70] = attrs.evolve(said[70], text=f"topic{number}")  # type: ignore[call-arg]
            store.append([Opened(conversation=name, sequence=1), *said, Closed(conversation=name, sequence=152)])
        case = f"{conversations} stored"
        yield Result(case=case, metric="database", unit="MB", value=path.stat().st_size / 1e6)
        for metric, asked in (("search one", f"topic{conversations // 2}"), ("search all", "weather music")):
            seconds = timed(lambda asked=asked: store.search(asked))  # type: ignore[misc]
            yield Result(case=case, metric=metric, unit="ms", value=seconds * 1000)
        seconds = timed(lambda: store.delete("conversation-0"))
        yield Result(case=case, metric="delete", unit="ms", value=seconds * 1000)
        store.close()


if __name__ == "__main__":
    main()
