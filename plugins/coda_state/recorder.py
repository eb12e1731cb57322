"""Records both voices of conversations, behind the audio and behind the events."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Final

import attrs
import numpy as np

from coda_core.audio import to_int16
from coda_core.errors import StoreError
from coda_core.events import Fault
from coda_core.interfaces import ProcessorInfo, StepRecord, StepRecords
from coda_core.recording import ROWS, Part, part_name
from coda_state.keeping import Keeper

__all__ = ["Place", "Recorder"]

PART_S: Final = 10.0
"""Seconds of a part: what a kill loses at most."""
PENDING_BYTES: Final = 256 * 2**20
"""Parts kept in memory while the store does not take them, before new ones are given up."""
RETRY_S: Final = 1.0

_logger = logging.getLogger("coda.state")


@attrs.frozen
class Place:
    """How far the recording of a conversation is: what it goes on from."""

    part: int
    """Number of the next part."""
    frame: int
    """Frames that are in parts or were given up."""


class _Tape:
    """The part of one conversation that is being filled."""

    def __init__(self, info: ProcessorInfo, place: Place, limit_frames: int) -> None:
        self.place = place
        self.last_frame = place.frame
        """Frame of the next step."""
        self.info = info
        self._limit = limit_frames
        self._length = max(1, round(PART_S / info.frame_s))
        self._rows = np.zeros(self._length, ROWS)
        self._pcm = np.zeros((self._length, info.frame_samples, 2), np.int16)

    def take(self, record: StepRecord) -> Iterator[Part]:
        """Take in a step; yield the parts that it completes, frames before it that nobody saw among them."""
        while self.last_frame < min(record.frame, self._limit):
            self.last_frame += 1
            yield from self._full()
        if record.frame < self._limit:
            at = record.frame - self.place.frame
            self._rows[at] = (
                record.token,
                record.probability,
                record.lateness_s,
                True,
                record.spoken is not None,
                record.injected,
                record.caller_speaking,
                record.moshi_speaking,
            )
            self._pcm[at, :, 0] = to_int16(record.heard)
            if record.spoken is not None:
                self._pcm[at, :, 1] = to_int16(record.spoken)
            self.last_frame = record.frame + 1
            yield from self._full()

    def cut(self) -> Part | None:
        """Return what is filled as a part; None where that is nothing."""
        length = self.last_frame - self.place.frame
        if not length:
            return None
        part = Part(
            first_frame=self.place.frame,
            sample_rate_hz=self.info.sample_rate_hz,
            rows=self._rows[:length],
            pcm=self._pcm[:length].reshape(-1, 2),
        )
        self.place = Place(self.place.part + 1, self.last_frame)
        self._rows, self._pcm = np.zeros_like(self._rows), np.zeros_like(self._pcm)
        return part

    def _full(self) -> Iterator[Part]:
        if self.last_frame - self.place.frame == self._length and (part := self.cut()) is not None:
            yield part


@attrs.frozen(eq=False)
class _Job:
    """Something to be done with a conversation's parts in the store."""

    conversation: str
    work: Callable[[], None]
    size_bytes: int


class Recorder:
    """Fills tapes on the state manager's thread, and codes and stores their parts on a thread of its own.

    Parts that the store does not take are tried again every second. While more of them wait than `PENDING_BYTES`, new
    ones are given up: there is silence in the recording then, which says that nobody saw these frames.
    """

    def __init__(self, keeper: Keeper, limit_s: float) -> None:
        self._keeper = keeper
        self._limit_s = limit_s
        self._tapes: dict[str, _Tape] = {}
        self._told: dict[str, Fault] = {}
        """Of each conversation whose recording lost something: what is to be told about it."""
        self._jobs: deque[_Job] = deque()
        self._waiting: Counter[str] = Counter()
        """Jobs of each conversation."""
        self._bytes = 0
        self._closing = False
        self._failing = False
        self._tried = threading.Condition()
        """Guards what follows the tapes; notified when a job was tried."""
        self._thread: threading.Thread | None = None
        """None while nothing was ever to be stored."""

    def begin(self, conversation: str, info: ProcessorInfo, place: Place) -> None:
        """Record a conversation from `place` on; what is stored behind it, from before a kill, is dropped."""
        self._tapes[conversation] = _Tape(info, place, round(self._limit_s / info.frame_s))
        if place.part:
            self._put(conversation, lambda: self._drop_from(conversation, place.part), 0)

    def take(self, step: StepRecords) -> list[Fault]:
        """Take in a step of all conversations; return what is to be told of their recordings."""
        for row, conversation in enumerate(step.conversation if self._tapes else ()):
            tape = self._tapes.get(conversation)
            if tape is not None:
                for part in tape.take(step[row]):
                    self._store(conversation, tape.place.part - 1, part)
        if not self._told:
            return []
        with self._tried:
            told, self._told = list(self._told.values()), {}
        return told

    def cut(self, conversation: str) -> Place | None:
        """Store what is filled so far; return how far the recording is, None where there is none."""
        tape = self._tapes.get(conversation)
        if tape is None:
            return None
        part = tape.cut()
        if part is not None:
            self._store(conversation, tape.place.part - 1, part)
        return tape.place

    def end(self, conversation: str) -> None:
        """The conversation is over, or goes on elsewhere."""
        self.cut(conversation)
        self._tapes.pop(conversation, None)

    def settle(self, conversation: str) -> None:
        """Wait until all parts of a conversation are stored, or the store has refused one."""
        with self._tried:
            while self._waiting[conversation] and not self._failing:
                self._tried.wait()

    def close(self) -> None:
        """Store what waits, as far as the store takes it, then end the thread."""
        for conversation in tuple(self._tapes):
            self.end(conversation)
        with self._tried:
            self._closing = True
            self._tried.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _store(self, conversation: str, number: int, part: Part) -> None:
        size = part.pcm.nbytes
        if self._bytes + size > PENDING_BYTES:
            message = f"the store takes no audio: its recording lacks frames {part.first_frame} and on"
            with self._tried:
                self._told.setdefault(
                    conversation, Fault(conversation=conversation, frame=part.first_frame, message=message)
                )
            # Not left out: parts are numbered without gaps. A part of nothing takes no room.
            part = attrs.evolve(part, rows=part.rows[:0], pcm=part.pcm[:0])
            size = 0
        name = part_name(number)
        coded: list[bytes] = []

        def put() -> None:
            if not coded:
                coded.append(part.to_bytes())
            with self._keeper.store() as store:
                store.put_blob(conversation, name, coded)

        self._put(conversation, put, size)

    def _put(self, conversation: str, work: Callable[[], None], size_bytes: int) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="coda-recorder", daemon=True)
            self._thread.start()
        with self._tried:
            self._jobs.append(_Job(conversation, work, size_bytes))
            self._waiting[conversation] += 1
            self._bytes += size_bytes
            self._tried.notify_all()

    def _drop_from(self, conversation: str, number: int) -> None:
        with self._keeper.store() as store:
            while store.has_blob(conversation, name := part_name(number)):
                store.delete_blob(conversation, name)
                number += 1

    def _run(self) -> None:
        while True:
            with self._tried:
                while not self._jobs:
                    if self._closing:
                        return
                    self._tried.wait()
                job = self._jobs[0]
            try:
                job.work()
            except StoreError as error:
                if not self._put_off(error):
                    return
                continue
            except Exception:
                _logger.exception("a part of the recording of conversation %s is given up", job.conversation)
            with self._tried:
                self._jobs.popleft()
                self._bytes -= job.size_bytes
                self._waiting[job.conversation] -= 1
                if not self._waiting[job.conversation]:
                    del self._waiting[job.conversation]
                if self._failing:
                    self._failing = False
                    _logger.warning("the state store takes audio again")
                self._tried.notify_all()

    def _put_off(self, error: StoreError) -> bool:
        """Wait before the next try; False where there will be none."""
        with self._tried:
            if not self._failing:
                self._failing = True
                _logger.error("audio could not be stored, trying again: %s", error)
                self._tried.notify_all()
            if not self._closing:
                self._tried.wait_for(lambda: self._closing, RETRY_S)
                return True
            _logger.error("%d parts of recordings could not be stored before the end", len(self._jobs))
            return False
