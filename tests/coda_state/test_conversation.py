"""The state manager `conversation`: what it derives from steps, keeps and gives back."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import attrs
import numpy as np
import pytest

from coda_core.errors import StoreError
from coda_core.events import Closed, Event, Fault, Gap, Opened
from coda_core.interfaces import (
    Context,
    ParkedState,
    ProcessorInfo,
    SlotOptions,
    StateManager,
    StateStore,
    StepRecord,
    StepRecords,
    Unfinished,
)
from coda_core.state import PhaseChanged, Snapshot, TurnEnded
from coda_core.testing import ManualClock
from coda_core.text import ExtractedText, Vocabulary
from coda_state.config import ConversationManagerConfig, MemoryStoreConfig
from coda_state.conversation import open_conversation_manager
from coda_state.memory import MemoryStore, open_memory_store

T = TypeVar("T")
Talk = Callable[..., list[Event]]
Enter = Callable[[AbstractAsyncContextManager[T]], T]

INFO = ProcessorInfo(
    slots=2,
    delay_frames=0,
    vocabulary=Vocabulary(pieces=(b"", b"hm", b"yes", b""), word_starts=frozenset({1, 2}), padding=3, end_of_padding=0),
    fingerprint="test",
)
SILENCE = np.zeros(1920, np.float32)


@pytest.fixture
def store(enter: Enter[StateStore], context: Context) -> StateStore:
    return enter(open_memory_store(MemoryStoreConfig(), context))


@pytest.fixture
def make(enter: Enter[StateManager], context: Context, store: StateStore) -> Callable[..., StateManager]:
    def made(**settings: object) -> StateManager:
        config = ConversationManagerConfig(**settings)  # type: ignore[arg-type]
        return enter(open_conversation_manager(config, attrs.evolve(context, store=store)))

    return made


@pytest.fixture
def manager(make: Callable[..., StateManager]) -> StateManager:
    return make()


def steps(
    conversation: str, caller: str, moshi: str, *, begin: int = 0, confidence: float = 0.5, hangover: int = 0
) -> Iterator[StepRecord]:
    """Yield the records of a conversation in which ``#`` is speech; Moshi speaks one token a frame."""
    for at, (heard, spoken) in enumerate(zip(caller, moshi, strict=True), begin):
        yield StepRecord(
            conversation=conversation,
            frame=at,
            heard=SILENCE,
            spoken=SILENCE,
            heard_dbfs=-20.0 if heard == "#" else -120.0,
            spoken_dbfs=-20.0 if spoken == "#" else -120.0,
            caller_speaking=heard == "#",
            moshi_speaking=spoken == "#",
            hangover_frames=hangover,
            token=1 if spoken == "#" else 3,
            probability=confidence,
            lateness_s=0.01 * (at % 3),
        )


def fed(manager: StateManager, records: Iterator[StepRecord]) -> list[Event]:
    return [event for record in records for event in manager.feed(StepRecords.of([record]))]


EXCHANGE = "#" * 20 + "." * 40, "." * 30 + "#" * 20 + "." * 10


def test_events_of_every_kind_are_stored(manager: StateManager, store: StateStore, talk: Talk) -> None:
    told = talk("a", ["one", "two"])
    manager.record(told)
    assert list(store.events("a")) == told


def test_steps_become_turns_and_phases(manager: StateManager) -> None:
    manager.open("a", INFO)
    found = [*fed(manager, steps("a", *EXCHANGE)), *manager.close("a")]
    assert {event.conversation for event in found} == {"a"}
    assert [event.phase for event in found if isinstance(event, PhaseChanged)] == [
        *("listening", "processing", "responding", "listening", "ending", "ended")
    ]
    assert [
        (event.speaker, event.start_frame, event.response_frames) for event in found if type(event) is TurnEnded
    ] == [
        ("caller", 0, None),
        ("moshi", 30, 10),
    ]
    last = found[-1]
    assert isinstance(last, Snapshot)
    assert (last.reason, last.phase, last.frame) == ("end", "ended", 60)
    assert (last.metrics.frames, last.metrics.text_tokens, last.metrics.mean_confidence) == (60, 20, 0.5)


def test_conversations_in_one_step_do_not_mix(manager: StateManager) -> None:
    for name in "ab":
        manager.open(name, INFO)
    first, second = steps("a", *EXCHANGE), steps("b", "." * 60, "." * 60)
    for both in zip(first, second, strict=True):
        manager.feed(StepRecords.of(both))
    views = {name: manager.view(name) for name in "ab"}
    assert {name: view and view.metrics.exchanges for name, view in views.items()} == {"a": 1, "b": 0}


def test_the_same_steps_give_the_same_state(make: Callable[..., StateManager]) -> None:
    one, other = make(), make()
    for manager in (one, other):
        manager.open("a", INFO)
    assert fed(one, steps("a", *EXCHANGE)) == fed(other, steps("a", *EXCHANGE))
    assert one.view("a") == other.view("a")
    assert one.close("a") == other.close("a")


def test_what_is_live_can_be_looked_at(manager: StateManager) -> None:
    assert manager.view("a") is None
    manager.open("a", INFO)
    fed(manager, steps("a", "#" * 30, "." * 30))
    view = manager.view("a")
    assert view is not None
    assert (view.phase, view.frame, view.metrics.caller_frames, view.quality.score) == ("listening", 30, 30, None)
    manager.close("a")
    assert manager.view("a") is None


def test_a_conversation_that_never_stepped_has_nothing_to_tell(manager: StateManager) -> None:
    manager.open("a", INFO)
    assert list(manager.close("a")) == []
    assert list(manager.close("b")) == []


def test_skipped_records_count_as_the_ones_before(manager: StateManager) -> None:
    manager.open("a", INFO)
    records = list(steps("a", "#" * 40, "." * 40))
    manager.feed(StepRecords.of(records[:1]))
    fed(manager, iter(records[1:10]))
    manager.feed(StepRecords.of([attrs.evolve(records[25], missed_before=15)]))
    view = manager.view("a")
    assert view is not None
    assert (view.frame, view.metrics.unseen_frames, view.metrics.caller_frames) == (26, 15, 26)


def test_lost_input_is_counted(manager: StateManager) -> None:
    manager.open("a", INFO)
    fed(manager, steps("a", "." * 30, "." * 30))
    manager.record([Opened(conversation="a", sequence=1), Gap(conversation="a", sequence=2, frames=10)])
    view = manager.view("a")
    assert view is not None
    assert (view.metrics.dropped_frames, view.metrics.drop_rate) == (10, 0.25)


def test_forced_tokens_say_nothing_of_confidence(manager: StateManager) -> None:
    manager.open("a", INFO)
    for record in steps("a", "." * 10, "#" * 10):
        manager.feed(
            StepRecords.of(
                StepRecords.of(
                    [attrs.evolve(record, injected=record.frame < 4, probability=0.1 if record.frame < 4 else 0.9)]
                )
            )
        )
    view = manager.view("a")
    assert view is not None
    assert (view.metrics.forced_tokens, view.metrics.text_tokens) == (4, 6)
    assert view.metrics.mean_confidence == pytest.approx(0.9)


def test_snapshots_come_at_an_interval_and_when_everybody_is_silent(make: Callable[..., StateManager]) -> None:
    manager = make(snapshot_interval_s=2)
    manager.open("a", INFO)
    found = fed(manager, steps("a", "#" * 60 + "." * 60, "." * 120))
    snapshots = [event for event in found if isinstance(event, Snapshot)]
    # The silence lasts from 60; at 97 it has lasted three seconds. The interval counts from the latest snapshot.
    assert [(event.reason, event.frame) for event in snapshots] == [
        ("interval", 25),
        ("interval", 50),
        ("interval", 75),
        ("phase", 98),
    ]
    assert [event.metrics.caller_frames for event in snapshots] == [25, 50, 60, 60]


def test_a_snapshot_has_the_latest_events_and_what_was_said(make: Callable[..., StateManager], talk: Talk) -> None:
    manager = make(snapshot_interval_s=2)
    manager.open("a", INFO)
    manager.record(talk("a", ["one", "two"]))
    first, second = (event for event in fed(manager, steps("a", "#" * 50, "." * 50)) if isinstance(event, Snapshot))
    assert (first.text, second.text) == ("one two", "")
    assert [event["type"] for event in first.recent] == ["opened", "closed"]
    manager.record([attrs.evolve(first, sequence=9)])
    manager.record([ExtractedText(conversation="a", sequence=10, text="three", start_s=9, end_s=9, confidence=1)])
    last = list(manager.close("a"))[-1]
    assert isinstance(last, Snapshot)
    assert last.text == "three"


@pytest.mark.parametrize("realtime", [True, False])
def test_a_snapshot_has_the_latest_frame_of_each_second_where_frames_are_due(
    manager: StateManager, store: StateStore, realtime: bool
) -> None:
    manager.open("a", INFO)
    manager.record([Opened(conversation="a", sequence=1, realtime=realtime)])
    for record in steps("a", "." * 30, "." * 30):
        manager.feed(
            StepRecords.of([attrs.evolve(record, lateness_s=0.5 if record.frame == 17 else record.frame / 1000)])
        )
    last = list(manager.close("a"))[-1]
    assert isinstance(last, Snapshot)
    assert last.lateness_s == (((0, 0.011), (12, 0.5), (24, 0.029)) if realtime else ())
    stored = attrs.evolve(last, sequence=2)
    manager.record([stored])
    assert list(store.events("a"))[-1] == stored


def test_what_is_exported_goes_on_as_if_nothing_was(make: Callable[..., StateManager]) -> None:
    whole, before, after = make(), make(), make()
    whole.open("a", INFO)
    before.open("a", INFO)
    caller, moshi = EXCHANGE[0] * 3, EXCHANGE[1] * 3
    told = fed(whole, steps("a", caller, moshi, hangover=4))
    parts = fed(before, steps("a", caller[:77], moshi[:77], hangover=4))
    after.open("a", INFO, before.export("a"))
    assert before.view("a") == after.view("a")
    parts += fed(after, steps("a", caller[77:], moshi[77:], begin=77, hangover=4))
    assert parts == told
    assert after.view("a") == whole.view("a")
    assert after.close("a") == whole.close("a")


def test_old_events_are_dropped_and_counted_once_a_snapshot_sums_them_up(
    make: Callable[..., StateManager], store: StateStore, talk: Talk
) -> None:
    manager = make(events_kept=50)
    said = talk("a", [f"w{at}" for at in range(200)])[:-1]
    manager.record(said)
    assert store.find()[0].dropped_events == 0
    summed = Snapshot(conversation="a", sequence=202)
    manager.record([summed, Closed(conversation="a", sequence=203)])
    assert [event.sequence for event in store.events("a")] == [1, *range(152, 204)]
    row = store.find()[0]
    assert (row.events, row.dropped_events) == (53, 150)
    assert [word.text for passage in store.passages("a") for word in passage.words] == [f"w{at}" for at in range(200)]


def test_old_conversations_are_purged_now_and_every_hour(context: Context, talk: Talk) -> None:
    clock = context.clock
    assert isinstance(clock, ManualClock)
    purged: list[str] = []
    enough = threading.Semaphore(0)

    class Watched(MemoryStore):
        def purge(self, before_s: float) -> str | None:
            found = super().purge(before_s)
            if found is not None:
                purged.append(found)
                enough.release()
            return found

    store = Watched(10, logging.getLogger("coda.test"))
    for name, age_days in (("old", 40), ("older", 50), ("young", 29.99)):
        store.append(talk(name, time_s=clock.wall() - age_days * 86_400))

    async def run() -> None:
        config = ConversationManagerConfig(purge_after_days=30)
        async with open_conversation_manager(config, attrs.evolve(context, store=store)):
            await asyncio.to_thread(enough.acquire)
            await asyncio.to_thread(enough.acquire)
            assert purged == ["older", "old"]
            while not await asyncio.to_thread(enough.acquire, timeout=0.01):
                clock.advance(3600)

    asyncio.run(run())
    assert purged == ["older", "old", "young"]
    assert store.find() == []


def test_what_cannot_be_dropped_does_not_keep_events_from_being_stored(
    context: Context, talk: Talk, enter: Enter[StateManager], caplog: pytest.LogCaptureFixture
) -> None:
    class Stuck(MemoryStore):
        def trim(self, conversation: str, *, events: int, snapshots: int) -> None:
            raise StoreError("the disk is full")

    stuck = Stuck(10, logging.getLogger("coda.test"))
    manager = enter(open_conversation_manager(ConversationManagerConfig(), attrs.evolve(context, store=stuck)))
    manager.record(talk("a"))
    manager.record(talk("b"))
    assert {row.conversation for row in stuck.find()} == {"a", "b"}
    assert [message for message in caplog.messages if "could not be dropped" in message] == [caplog.messages[0]]


def parked(conversation: str, fill: int) -> ParkedState:
    return ParkedState(
        conversation=conversation,
        frame=fill,
        fingerprint="test",
        options=SlotOptions(seed=7),
        slot={"ring": np.full((3, 4), fill, np.int64)},
        lane=b"lane",
        followers={"state": b"\0\1"},
    )


def test_model_state_is_saved_replaced_loaded_and_discarded(manager: StateManager) -> None:
    assert manager.load("a") is None
    manager.save(parked("a", 1))
    manager.save(parked("a", 2))
    loaded = manager.load("a")
    assert loaded is not None
    assert (loaded.frame, loaded.options, loaded.lane, loaded.followers) == (
        2,
        SlotOptions(seed=7),
        b"lane",
        {"state": b"\0\1"},
    )
    np.testing.assert_array_equal(loaded.slot["ring"], np.full((3, 4), 2))
    manager.discard("a")
    manager.discard("a")
    assert manager.load("a") is None


def test_damaged_model_state_is_refused(manager: StateManager, store: StateStore) -> None:
    manager.save(parked("a", 1))
    whole = b"".join(store.get_blob("a", "model-state"))
    store.put_blob("a", "model-state", [whole[:-1]])
    with pytest.raises(StoreError, match="the saved state of conversation a cannot be read"):
        manager.load("a")


def test_conversations_without_an_end_are_found(manager: StateManager, talk: Talk) -> None:
    manager.record([*talk("done"), Opened(conversation="a", sequence=1, token_digest="digest of a")])
    manager.record([Opened(conversation="b", sequence=1, time_s=1.0), Fault(conversation="b", sequence=2)])
    manager.save(parked("b", 2))
    assert list(manager.unfinished()) == [
        Unfinished(conversation="b", last_sequence=2, resumable=True, token_digest=""),
        Unfinished(conversation="a", last_sequence=1, resumable=False, token_digest="digest of a"),
    ]


def test_without_a_store_it_is_refused(enter: Enter[StateManager], context: Context) -> None:
    with pytest.raises(StoreError, match="was given no state store"):
        enter(open_conversation_manager(ConversationManagerConfig(), context))
