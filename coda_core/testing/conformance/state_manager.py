"""The suite of state managers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

import attrs
import numpy as np
import pytest

from coda_core.audio import FRAME_SAMPLES
from coda_core.errors import StoreError
from coda_core.events import Closed, Event, Gap, Opened, Paused, event_from_json, event_to_json
from coda_core.interfaces import ParkedState, SlotOptions, StepRecord, StepRecords, Unfinished
from coda_core.state import ConversationState
from coda_core.testing.conformance.component import PATIENCE_S, Conformance
from coda_core.testing.conformance.extractor import INFO
from coda_core.testing.stores import WatchedStore
from coda_core.text import ExtractedText

__all__ = ["StateManagerConformance"]

_LONG: Final = 120
"""Frames of a conversation in which both sides speak, fall silent and speak again."""
_CUTS: Final = (1, 7, 20, 33, 60, 90)


class StateManagerConformance(Conformance):
    """What every `coda_core.interfaces.StateManager` does, on a store that watches how it is used."""

    # Storing

    def test_has_the_methods_of_its_protocol(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.managing(tmp_path) as (manager, _):
                self.has_methods(manager, "open", "feed", "export", "close")
                self.has_methods(manager, "record", "save", "load", "discard", "view", "unfinished")

        self.run(look())

    def test_what_is_recorded_is_in_the_store(self, tmp_path: Path) -> None:
        """`record` returns when the events are durable, whole and in order, of open conversations and of others."""

        async def look() -> None:
            async with self.managing(tmp_path) as (manager, store):
                manager.open("a", INFO)
                events = [*_told("a"), *_told("never opened here")]
                manager.record(events[:3])
                assert [*store.events("a")] == events[:3], "record returns when the events are in the store"
                manager.record(events[3:])
                for name in ("a", "never opened here"):
                    assert [*store.events(name)] == _told(name)
                manager.close("a")

        self.run(look())

    def test_a_failing_store_is_said_and_may_be_tried_again(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.managing(tmp_path) as (manager, store):
                manager.open("a", INFO)
                store.on_append = lambda _events: _full()
                with pytest.raises(StoreError):
                    manager.record(_told("a"))
                store.on_append = lambda _events: None
                manager.record(_told("a"))
                manager.record(_told("a"))
                assert [*store.events("a")] == _told("a")
                manager.close("a")

        self.run(look())

    def test_model_state_comes_back_equal(self, tmp_path: Path) -> None:
        async def save() -> WatchedStore:
            async with self.managing(tmp_path) as (manager, store):
                assert manager.load("a") is None, "nothing was saved yet"
                manager.save(_parked("a", 1))
                manager.save(_parked("b", 2))
                manager.save(_parked("a", 3))
                return store

        async def load(store: WatchedStore) -> None:
            async with self.managing(tmp_path, store) as (manager, _):
                for name, seed in (("a", 3), ("b", 2)):
                    _assert_same(manager.load(name), _parked(name, seed))
                manager.discard("a")
                manager.discard("a")
                assert manager.load("a") is None
                assert manager.load("b") is not None, "another's state is left alone"

        # Another manager on the same store: conversations are resumed by another process.
        self.run(load(self.run(save())))

    def test_a_damaged_model_state_is_refused(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.managing(tmp_path) as (manager, store):
                manager.save(_parked("a", 1))
                ((key, blob),) = store.blobs.items()
                for at in (len(blob) // 2, len(blob) - 1):
                    store.blobs[key] = blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :]
                    with pytest.raises(StoreError):
                        manager.load("a")
                store.blobs[key] = blob[: len(blob) // 2]
                with pytest.raises(StoreError):
                    manager.load("a")

        self.run(look())

    def test_unfinished_conversations_are_listed(self, tmp_path: Path) -> None:
        async def look() -> None:
            store = WatchedStore()
            async with self.managing(tmp_path, store) as (manager, _):
                for name in ("lost", "parked", "over"):
                    manager.record(_told(name)[:4])
                manager.record(_told("over"))
                manager.save(_parked("parked", 1))
            async with self.managing(tmp_path, store) as (manager, _):
                left = sorted(manager.unfinished(), key=lambda each: each.conversation)
                assert left == [
                    Unfinished(conversation="lost", last_sequence=4, resumable=False, token_digest="digest of lost"),
                    Unfinished(conversation="parked", last_sequence=4, resumable=True, token_digest="digest of parked"),
                ]

        self.run(look())

    def test_the_store_sees_one_call_at_a_time(self, tmp_path: Path) -> None:
        """Whatever a manager does in the background waits for its turn."""

        async def look() -> list[str]:
            inside, gate = threading.Event(), threading.Event()
            async with self.managing(tmp_path) as (manager, store):

                def wait(_events: Sequence[Event]) -> None:
                    inside.set()
                    gate.wait(0.3)

                store.on_append = wait
                recording = asyncio.create_task(asyncio.to_thread(manager.record, _told("a")))
                await asyncio.to_thread(inside.wait)
                await asyncio.wait([recording])
                return store.overlaps

        assert self.run(look()) == [], "the store was called while another call of it was under way"

    # Following

    def test_finds_events_of_the_right_conversation(self, tmp_path: Path) -> None:
        for name, events in self._follow(tmp_path, {"a": 0, "b": 1}).items():
            for event in events:
                assert isinstance(event, Event)
                assert event.conversation == name
                assert event_from_json(event_to_json(event)) == event, "an event has a form in JSON"

    def test_conversations_are_kept_apart(self, tmp_path: Path) -> None:
        together = self._follow(tmp_path, {"a": 0, "b": 1})
        for name, seed in (("a", 0), ("b", 1)):
            assert together[name] == self._follow(tmp_path, {name: seed})[name]

    def test_a_closed_conversation_is_forgotten(self, tmp_path: Path) -> None:
        async def twice() -> None:
            async with self.managing(tmp_path) as (manager, _):
                first, second = (_follow_one(manager, "a", 0) for _ in range(2))
                assert first == second, "the same id, opened again, begins from nothing"
                assert manager.view("a") is None

        self.run(twice())

    def test_goes_on_from_what_it_exported(self, tmp_path: Path) -> None:
        async def interrupted(after: int) -> list[Event]:
            async with self.managing(tmp_path) as (manager, _):
                manager.open("a", INFO)
                found = [
                    event for frame in range(after) for event in manager.feed(StepRecords.of([_step("a", frame, 0)]))
                ]
                state = manager.export("a")
                assert isinstance(state, bytes)
                assert manager.export("a") == state, "export leaves what it exports as it is"
                manager.close("a")
            async with self.managing(tmp_path) as (manager, _):
                manager.open("a", INFO, state)
                found += [
                    event
                    for frame in range(after, _LONG)
                    for event in manager.feed(StepRecords.of([_step("a", frame, 0)]))
                ]
                view = manager.view("a")
                return [*found, *manager.close("a"), *([] if view is None else [Paused(frame=view.frame)])]

        async def whole() -> list[Event]:
            async with self.managing(tmp_path) as (manager, _):
                manager.open("a", INFO)
                found = [
                    event for frame in range(_LONG) for event in manager.feed(StepRecords.of([_step("a", frame, 0)]))
                ]
                view = manager.view("a")
                return [*found, *manager.close("a"), *([] if view is None else [Paused(frame=view.frame)])]

        expected = [event for event in self.run(whole()) if event.type != "snapshot"]
        for after in _CUTS:
            found = [event for event in self.run(interrupted(after)) if event.type != "snapshot"]
            assert found == expected, f"parked after {after} frames, it finds something else"

    def test_missed_records_are_survived(self, tmp_path: Path) -> None:
        async def skip() -> None:
            async with self.managing(tmp_path) as (manager, _):
                manager.open("a", INFO)
                for frame in (0, 1, 2, 30, 31, 32):
                    manager.feed(
                        StepRecords.of([attrs.evolve(_step("a", frame, 0), missed_before=27 if frame == 30 else 0)])
                    )
                view = manager.view("a")
                assert view is not None
                assert 0 < view.frame <= 33
                manager.close("a")

        self.run(skip())

    def test_records_are_left_as_they_are(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.managing(tmp_path) as (manager, _):
                manager.open("a", INFO)
                for frame in range(40):
                    given = _step("a", frame, 0)
                    before = given.heard.copy()
                    manager.feed(StepRecords.of([given]))
                    assert np.array_equal(given.heard, before), "records are shared with other followers"
                manager.close("a")

        self.run(look())

    def test_a_long_conversation_costs_no_more_than_a_short_one(self, tmp_path: Path) -> None:
        """What is held of a conversation does not grow with every frame."""

        async def look() -> tuple[int, int]:
            async with self.managing(tmp_path) as (manager, _):
                manager.open("a", INFO)
                sizes = []
                for frame in range(6_000):
                    manager.feed(StepRecords.of([_step("a", frame % _LONG, 0, at=frame)]))
                    if frame in (999, 5_999):
                        sizes.append(len(manager.export("a")))
                manager.close("a")
                return sizes[0], sizes[1]

        short, long = self.run(look())
        assert long <= 2 * short + 4_000, f"what it exports has grown from {short} bytes to {long}"

    # Viewing

    def test_a_live_conversation_can_be_viewed(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.managing(tmp_path) as (manager, _):
                assert manager.view("a") is None, "who is not open has no view"
                manager.open("a", INFO)
                for frame in range(60):
                    manager.feed(StepRecords.of([_step("a", frame, 0)]))
                view = await asyncio.to_thread(manager.view, "a")
                assert isinstance(view, ConversationState)
                assert view.conversation == "a"
                assert 0 < view.frame <= 60
                assert view.metrics.frames <= 60
                manager.close("a")

        self.run(look())

    def test_a_view_waits_for_no_store(self, tmp_path: Path) -> None:
        """`view` is asked on the event loop while F is in the store: a slow disk must not stop the loop."""

        async def look() -> bool:
            inside, gate, viewed = threading.Event(), threading.Event(), threading.Event()
            async with self.managing(tmp_path) as (manager, store):
                manager.open("a", INFO)
                manager.feed(StepRecords.of([_step("a", 0, 0)]))

                def wait(_events: Sequence[Event]) -> None:
                    inside.set()
                    gate.wait(PATIENCE_S)

                store.on_append = wait
                recording = asyncio.create_task(asyncio.to_thread(manager.record, _told("a")))
                await asyncio.to_thread(inside.wait)

                def view() -> None:
                    manager.view("a")
                    viewed.set()

                viewing = asyncio.create_task(asyncio.to_thread(view))
                await asyncio.wait([viewing], timeout=2.0)
                in_time = viewed.is_set()
                gate.set()
                await asyncio.wait([recording, viewing])
                manager.close("a")
                return in_time

        assert self.run(look()), "it waited for the store"

    # For checks

    @asynccontextmanager
    async def managing(
        self, folder: Path, store: WatchedStore | None = None
    ) -> AsyncIterator[tuple[Any, WatchedStore]]:
        """Build the manager on `store`; yields both."""
        store = store if store is not None else WatchedStore()
        async with self.entered(folder, store=store) as manager:
            yield manager, store

    async def _enter_and_leave(self, folder: Path) -> None:
        async with self.managing(folder):
            pass

    def _follow(self, folder: Path, seeds: Mapping[str, int]) -> dict[str, list[Event]]:
        async def follow() -> dict[str, list[Event]]:
            found: dict[str, list[Event]] = {name: [] for name in seeds}
            async with self.managing(folder) as (manager, _):
                for name in seeds:
                    manager.open(name, INFO)
                for frame in range(_LONG):
                    for event in manager.feed(
                        StepRecords.of([_step(name, frame, seed) for name, seed in seeds.items()])
                    ):
                        assert event.conversation in found, f"{event} is of no conversation that is open"
                        found[event.conversation].append(event)
                for name in seeds:
                    found[name] += manager.close(name)
            return found

        return self.run(follow())


def _follow_one(manager: Any, name: str, seed: int) -> list[Event]:
    manager.open(name, INFO)
    found = [event for frame in range(_LONG) for event in manager.feed(StepRecords.of([_step(name, frame, seed)]))]
    return [*found, *manager.close(name)]


def _step(conversation: str, frame: int, seed: int, *, at: int | None = None) -> StepRecord:
    """Return a step of a conversation with turns of both sides, an interruption and a long silence."""
    turn = (frame + 11 * seed) % _LONG
    caller, moshi = turn < 15 or 50 <= turn < 62, 20 <= turn < 56
    speech = np.full(FRAME_SAMPLES, 0.1, np.float32)
    silence = np.zeros(FRAME_SAMPLES, np.float32)
    heard = speech.copy() if caller else silence
    return StepRecord(
        conversation=conversation,
        frame=frame if at is None else at,
        heard=heard,
        spoken=speech if moshi else silence,
        heard_dbfs=-20.0 if caller else -120.0,
        spoken_dbfs=-20.0 if moshi else -120.0,
        caller_speaking=caller,
        moshi_speaking=moshi,
        token=turn % 4 if moshi else INFO.vocabulary.padding,
        probability=0.5,
        lateness_s=-0.05,
        hangover_frames=2,
    )


def _told(conversation: str) -> list[Event]:
    """Return the events of a whole conversation, numbered."""
    events: list[Event] = [
        Opened(user_id="ada", fingerprint="conformance", token_digest=f"digest of {conversation}"),
        ExtractedText(text="good morning", start_s=0.0, end_s=0.5, confidence=0.9, frame=0, extractor="one"),
        Gap(frame=9, frames=2),
        Paused(frame=12),
        Closed(frames=20),
    ]
    return [
        attrs.evolve(event, conversation=conversation, sequence=at, time_s=1_700_000_000.0 + at)
        for at, event in enumerate(events, 1)
    ]


def _parked(conversation: str, seed: int) -> ParkedState:
    random = np.random.default_rng(seed)
    return ParkedState(
        conversation=conversation,
        frame=100 + seed,
        fingerprint="conformance",
        options=SlotOptions(seed=seed, text_temperature=0.5),
        slot={
            "ring": random.normal(size=(4, 32)).astype(np.float32),
            "offset": np.array(seed, np.int64),
            "mask": np.array([True, False]),
        },
        lane=random.bytes(50),
        followers={"inner-monologue": b"held", "state": b""},
    )


def _assert_same(found: ParkedState | None, expected: ParkedState) -> None:
    assert found is not None
    for name in ("conversation", "frame", "fingerprint", "options", "lane"):
        assert getattr(found, name) == getattr(expected, name), f"{name} came back otherwise"
    assert dict(found.followers) == dict(expected.followers)
    assert set(found.slot) == set(expected.slot)
    for name, array in expected.slot.items():
        assert found.slot[name].dtype == array.dtype
        assert np.array_equal(found.slot[name], array), f"the array {name} came back otherwise"


def _full() -> NoReturn:
    raise StoreError("the disk is full")
