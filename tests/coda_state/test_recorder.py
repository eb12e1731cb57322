"""Recording through the state manager: every frame, to the bit, behind the audio."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeVar

import attrs
import numpy as np
import pytest

from coda_core.audio import to_int16
from coda_core.errors import StoreError
from coda_core.events import Closed, Event, Fault, Opened
from coda_core.interfaces import Context, ParkedState, ProcessorInfo, SlotOptions, StepRecord, StepRecords
from coda_core.recording import Recording, part_name, read_recording
from coda_core.text import Vocabulary
from coda_state import recorder
from coda_state.config import ConversationManagerConfig
from coda_state.conversation import ConversationManager, open_conversation_manager
from coda_state.memory import MemoryStore
from coda_state.sqlite import SqliteStore

T = TypeVar("T")
Enter = Callable[[AbstractAsyncContextManager[T]], T]
FRAME = 1_920
INFO = ProcessorInfo(
    slots=2,
    delay_frames=1,
    vocabulary=Vocabulary(pieces=(b"", b"hm", b"yes", b""), word_starts=frozenset({1, 2}), padding=3, end_of_padding=0),
    fingerprint="test",
)


class Fragile(MemoryStore):
    """Refuses blobs while `broken` is set, and says when it was asked."""

    def __init__(self) -> None:
        super().__init__(10, logging.getLogger("coda.test"))
        self.broken = False
        self.asked = threading.Semaphore(0)

    def put_blob(self, conversation: str, name: str, chunks: Iterable[bytes]) -> None:
        self.asked.release()
        if self.broken:
            raise StoreError("the disk is full")
        super().put_blob(conversation, name, chunks)


@pytest.fixture
def store() -> Fragile:
    return Fragile()


@pytest.fixture
def make(enter: Enter[ConversationManager], context: Context, store: Fragile) -> Callable[..., ConversationManager]:
    def made(**settings: object) -> ConversationManager:
        config = ConversationManagerConfig(**settings)  # type: ignore[arg-type]
        return enter(open_conversation_manager(config, attrs.evolve(context, store=store)))

    return made


def steps(conversation: str, frames: Iterable[int]) -> Iterator[StepRecord]:
    for at in frames:
        draw = np.random.default_rng([ord(conversation), at])
        heard, spoken = draw.uniform(-1, 1, (2, FRAME)).astype(np.float32)
        yield StepRecord(
            conversation=conversation,
            frame=at,
            heard=heard,
            spoken=spoken if at else None,
            heard_dbfs=-20.0,
            spoken_dbfs=-20.0,
            caller_speaking=bool(at % 2),
            moshi_speaking=False,
            token=at % 4,
            probability=0.5,
            lateness_s=0.01,
            injected=at % 3 == 0,
        )


def begin(manager: ConversationManager, conversation: str, *, record: bool = True) -> None:
    manager.open(conversation, INFO)
    manager.record([Opened(conversation=conversation, sequence=1, options={"record": record})])


def fed(manager: ConversationManager, records: Iterable[StepRecord]) -> list[Event]:
    return [event for record in records for event in manager.feed(StepRecords.of([record]))]


def read(store: Fragile, conversation: str) -> Recording:
    recording = read_recording(store, conversation)
    assert recording is not None
    return recording


def is_what_was(recording: Recording, frames: Sequence[int]) -> None:
    """Assert that the recording has just these frames, as `steps` made them."""
    assert np.flatnonzero(recording.rows["seen"]).tolist() == list(frames)
    for record in steps("a", frames):
        row, pcm = recording.rows[record.frame], recording.pcm[record.frame]
        assert (row["token"], row["valid"], row["injected"], row["caller_speaking"]) == (
            record.token, record.spoken is not None, record.injected, record.caller_speaking
        )  # fmt: skip
        np.testing.assert_array_equal(pcm[:, 0], to_int16(record.heard))
        np.testing.assert_array_equal(pcm[:, 1], 0 if record.spoken is None else to_int16(record.spoken))


def test_every_frame_is_recorded_to_the_bit_and_only_where_it_is_asked_for(
    make: Callable[..., ConversationManager], store: Fragile
) -> None:
    manager = make()
    begin(manager, "a")
    begin(manager, "b", record=False)
    for one, other in zip(steps("a", range(260)), steps("b", range(260)), strict=True):
        manager.feed(StepRecords.of([one, other]))
    manager.close("a")
    manager.close("b")
    manager.finish()
    is_what_was(read(store, "a"), range(260))
    assert [store.has_blob("a", part_name(number)) for number in range(4)] == [True, True, True, False]
    assert read_recording(store, "b") is None


def test_frames_that_nobody_saw_are_silence_that_says_so(
    make: Callable[..., ConversationManager], store: Fragile
) -> None:
    manager = make()
    begin(manager, "a")
    seen = [*range(5, 100), *range(400, 410)]
    fed(manager, steps("a", seen))
    manager.finish()
    is_what_was(read(store, "a"), seen)


def test_no_more_than_the_limit_is_recorded(make: Callable[..., ConversationManager], store: Fragile) -> None:
    manager = make(record_minutes=0.1)
    begin(manager, "a")
    fed(manager, steps("a", range(200)))
    manager.finish()
    is_what_was(read(store, "a"), range(75))


def test_what_goes_on_elsewhere_goes_on_in_the_recording_and_what_lies_behind_is_dropped(
    make: Callable[..., ConversationManager], store: Fragile
) -> None:
    before = make()
    begin(before, "a")
    fed(before, steps("a", range(150)))
    held = before.export("a")
    before.save(
        ParkedState(
            conversation="a",
            frame=150,
            fingerprint="test",
            options=SlotOptions(record=True),
            slot={},
            lane=b"",
            followers={"state": held},
        )
    )
    # All that was recorded until then is stored when the state is.
    is_what_was(read(store, "a"), range(150))
    fed(before, steps("a", range(150, 700)))
    before.finish()
    assert read(store, "a").frames == 700
    after = make()
    after.open("a", INFO, held)
    fed(after, steps("a", range(150, 160)))
    after.close("a")
    after.finish()
    is_what_was(read(store, "a"), range(160))


def test_what_the_store_does_not_take_is_kept_and_stored_later(
    make: Callable[..., ConversationManager], store: Fragile, caplog: pytest.LogCaptureFixture
) -> None:
    manager = make()
    begin(manager, "a")
    store.broken = True
    assert [event for event in fed(manager, steps("a", range(300))) if isinstance(event, Fault)] == []
    store.asked.acquire()
    store.broken = False
    while not store.has_blob("a", part_name(1)):
        store.asked.acquire()
    manager.finish()
    is_what_was(read(store, "a"), range(300))
    told = [message for message in caplog.messages if "audio" in message]
    assert told == ["audio could not be stored, trying again: the disk is full", "the state store takes audio again"]


def test_what_finds_no_room_in_memory_is_given_up_and_told(
    make: Callable[..., ConversationManager], store: Fragile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "PENDING_BYTES", 2 * 125 * FRAME * 4)
    manager = make()
    begin(manager, "a")
    store.broken = True
    faults = [event for event in fed(manager, steps("a", range(500))) if isinstance(event, Fault)]
    assert [(fault.conversation, fault.frame) for fault in faults] == [("a", 250), ("a", 375)]
    assert "its recording lacks frames 250 and on" in faults[0].message
    store.broken = False
    fed(manager, steps("a", range(500, 510)))
    manager.close("a")
    manager.finish()
    found = read(store, "a").rows["seen"]
    assert found[:250].all()
    assert not found[250:500].any()


def test_purged_with_its_conversation_it_leaves_no_byte(
    context: Context, enter: Enter[ConversationManager], sqlite: SqliteStore, path: Path
) -> None:
    manager = enter(open_conversation_manager(ConversationManagerConfig(), attrs.evolve(context, store=sqlite)))
    begin(manager, "a")
    begin(manager, "b")
    for one, other in zip(steps("a", range(300)), steps("b", range(300)), strict=True):
        manager.feed(StepRecords.of([one, other]))
    manager.record([Closed(conversation="a", sequence=2, time_s=1.0), Closed(conversation="b", sequence=2, time_s=9.0)])
    for conversation in "ab":
        manager.close(conversation)
    manager.finish()

    def pieces(conversation: str) -> list[bytes]:
        parts = [b"".join(sqlite.get_blob(conversation, part_name(number))) for number in range(3)]
        return [part[start : start + 24] for part in parts for start in range(5_000, len(part) - 24, 50_000)]

    def found(wanted: list[bytes]) -> list[bytes]:
        left = b"".join(file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*")))
        return [piece for piece in wanted if piece in left]

    # A piece that a page ends in is in no place as a whole.
    of_a, of_b = (found(pieces(conversation)) for conversation in "ab")
    assert min(len(of_a), len(of_b)) > 10
    assert sqlite.purge(5.0) == "a"
    assert sqlite.purge(5.0) is None
    assert not found(of_a)
    assert found(of_b) == of_b
    assert read_recording(sqlite, "a") is None
