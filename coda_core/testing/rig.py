"""What surrounds a streaming manager in a kernel, for a test that looks at a manager alone."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from coda_core.audio import AudioFrame
from coda_core.events import Event
from coda_core.interfaces import Follower, Processor, ProcessorInfo, StepRecord, Wiring
from coda_core.testing.processor import ScriptedProcessor
from coda_core.text import ExtractedText

__all__ = ["KeepingFollower", "Rig"]


class KeepingFollower:
    """A follower that keeps every record, and knows on which threads it was called.

    It finds a word in every record that is not padding, and says one more on `close`; what it exports is the tokens
    that it got.
    """

    def __init__(self) -> None:
        self.records: list[StepRecord] = []
        self.calls: list[tuple[str, str]] = []
        """What it was told, in order: ``open``, ``export`` and ``close`` with a conversation, ``feed`` with each."""
        self.threads: set[int] = set()
        self.held: dict[str, list[int]] = {}
        self.on_feed: Callable[[Sequence[StepRecord]], None] = lambda _step: None
        """Called at the start of every `feed`: waits, or raises."""

    def open(self, conversation: str, info: ProcessorInfo, state: bytes | None = None) -> None:
        self._note("open", conversation)
        self._padding = info.vocabulary.padding
        self.held[conversation] = [] if state is None else json.loads(state)

    def feed(self, step: Sequence[StepRecord]) -> Sequence[Event]:
        self.on_feed(step)
        for record in step:
            self._note("feed", record.conversation)
            self.held[record.conversation].append(record.token)
        self.records.extend(step)
        return [_word(record.conversation, record.frame) for record in step if record.token != self._padding]

    def export(self, conversation: str) -> bytes:
        self._note("export", conversation)
        return json.dumps(self.held[conversation]).encode()

    def close(self, conversation: str) -> Sequence[Event]:
        self._note("close", conversation)
        return [_word(conversation, len(self.held.pop(conversation)))]

    def text(self, conversation: str, last_s: float) -> Sequence[ExtractedText]:
        return ()

    def of(self, conversation: str) -> list[StepRecord]:
        """Return the records of one conversation."""
        return [record for record in self.records if record.conversation == conversation]

    def _note(self, call: str, conversation: str) -> None:
        self.threads.add(threading.get_ident())
        self.calls.append((call, conversation))


@attrs.define(eq=False)
class Rig:
    """A `Wiring`, and everything that a streaming manager told it."""

    processor: Any = attrs.field(factory=ScriptedProcessor)
    followers: dict[str, KeepingFollower] = attrs.field(factory=lambda: {"keep": KeepingFollower()})
    frames: dict[str, list[AudioFrame]] = attrs.field(factory=dict)
    """By conversation, in the order in which they came."""
    hand_overs: list[tuple[str, ...]] = attrs.field(factory=list)
    """The conversations of every call of ``deliver``."""
    found: list[tuple[str, Event]] = attrs.field(factory=list)
    """Events of followers, with their label."""
    reported: list[Event] = attrs.field(factory=list)
    broken: list[tuple[str, str]] = attrs.field(factory=list)
    lost: list[BaseException] = attrs.field(factory=list)
    life: list[tuple[str, int]] = attrs.field(factory=list)
    """``enter`` and ``leave`` of the processor, and the threads they were done on."""
    told_on: set[int] = attrs.field(factory=set)
    """The threads on which any of the callables was called."""
    changed: asyncio.Event = attrs.field(factory=asyncio.Event)

    @property
    def wiring(self) -> Wiring:
        followers: Mapping[str, Follower] = self.followers
        return Wiring(
            open_processor=self._opened,
            worker=None,
            followers=followers,
            deliver=self._deliver,
            found=lambda label, events: self._note(self.found, [(label, event) for event in events]),
            report=lambda event: self._note(self.reported, [event]),
            broken=lambda conversation, message: self._note(self.broken, [(conversation, message)]),
            lost=lambda error: self._note(self.lost, [error]),
        )

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until `condition` holds; it is looked at whenever something was told."""
        while not condition():
            self.changed.clear()
            if not condition():
                await self.changed.wait()

    def pcm(self, conversation: str) -> NDArray[np.float32]:
        """Return all that a conversation was answered."""
        return np.concatenate([np.zeros(0, np.float32), *(frame.pcm for frame in self.frames.get(conversation, ()))])

    @contextmanager
    def _opened(self) -> Iterator[Processor]:
        self.life.append(("enter", threading.get_ident()))
        try:
            yield self.processor
        finally:
            self.life.append(("leave", threading.get_ident()))

    def _deliver(self, frames: Sequence[AudioFrame]) -> None:
        self._note(self.hand_overs, [tuple(frame.conversation for frame in frames)])
        for frame in frames:
            self.frames.setdefault(frame.conversation, []).append(frame)

    def _note(self, told: list[Any], items: Sequence[Any]) -> None:
        self.told_on.add(threading.get_ident())
        told.extend(items)
        self.changed.set()


def _word(conversation: str, frame: int) -> ExtractedText:
    return ExtractedText(
        conversation=conversation,
        frame=frame,
        text="word",
        start_s=frame * 0.08,
        end_s=(frame + 1) * 0.08,
        confidence=0.5,
    )
