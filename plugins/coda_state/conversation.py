"""The state manager `conversation`."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import repeat
from typing import Any, Final

import attrs

from coda_core.clock import Clock
from coda_core.errors import StoreError
from coda_core.events import Event, Gap, Opened, event_to_json
from coda_core.interfaces import Context, ParkedState, ProcessorInfo, StateStore, StepRecords, Unfinished
from coda_core.parking import from_chunks, to_chunks
from coda_core.state import ConversationState, PhaseChanged, Snapshot
from coda_core.text import ExtractedText, Vocabulary
from coda_state.config import ConversationManagerConfig
from coda_state.keeping import Keeper
from coda_state.lateness import LatenessLine
from coda_state.observed import Observed
from coda_state.quality import Weights, judge
from coda_state.recorder import Place, Recorder
from coda_state.timeline import Rules

__all__ = ["ConversationManager", "open_conversation_manager"]

_MODEL_STATE: Final = "model-state"
_ALL: Final = 2**31 - 1
_RECENT_EVENTS: Final = 10


@attrs.define(eq=False)
class _Live:
    """One open conversation."""

    info: ProcessorInfo
    observed: Observed
    snapshot_frames: int
    """Frames from one snapshot to the next."""
    next_snapshot: int
    lateness: LatenessLine | None
    """None where frames are not due in real time."""
    recent: deque[Event] = attrs.field(factory=lambda: deque(maxlen=_RECENT_EVENTS))
    said: list[str] = attrs.field(factory=list)
    """Text since the last snapshot, of one extractor."""
    extractor: str | None = None


class ConversationManager:
    """Derives phases, turns, metrics and quality from steps, takes snapshots, and stores every event there is.

    What is live is guarded by a lock that is held for one step, or one look at it, and never while the store works.
    """

    def __init__(self, store: StateStore, config: ConversationManagerConfig, clock: Clock) -> None:
        self._keeper = Keeper(store, config, clock)
        self._recorder = Recorder(self._keeper, config.record_minutes * 60)
        self.records = config.record_audio
        """See `coda_core.interfaces.Recording`."""
        self._config = config
        self._weights = Weights(
            confidence=config.confidence_weight,
            latency=config.latency_weight,
            consistency=config.consistency_weight,
            exchanges=config.exchanges_weight,
            interruptions=config.interruptions_weight,
        )
        self._vocabulary: Vocabulary
        """Of the one processor there is; set when the first conversation is opened."""
        self._live: dict[str, _Live] = {}
        self._lock = threading.Lock()

    # Following steps

    def open(self, conversation: str, info: ProcessorInfo, state: bytes | None = None) -> None:
        config = self._config
        self._vocabulary = info.vocabulary
        rules = Rules(
            turn_pause=_frames(config.turn_pause_ms / 1000, info),
            waiting_after=_frames(config.waiting_after_ms / 1000, info),
            yield_within=_frames(config.yield_within_ms / 1000, info),
        )
        beside, seen = _parted(state)
        observed = Observed(info, rules) if seen is None else Observed.from_bytes(seen, info, rules)
        interval = _frames(config.snapshot_interval_s, info)
        with self._lock:
            live = _Live(info, observed, interval, observed.timeline.seen + interval, LatenessLine(info.frame_s))
            self._live[conversation] = live
        if "lateness" in beside:
            late = beside["lateness"]
            live.lateness = None if late is None else LatenessLine.from_fields(late, info.frame_s)
            live.said, live.extractor = beside["said"], beside["extractor"]
        if beside.get("recording") is not None:
            self._recorder.begin(conversation, info, Place(*beside["recording"]))

    def feed(self, step: StepRecords) -> Sequence[Event]:
        found: list[Event] = []
        rows = zip(
            step.conversation,
            step.frame.tolist(),
            step.caller_speaking.tolist(),
            (step.moshi_speaking & step.valid).tolist(),
            step.valid.tolist(),
            self._vocabulary.are_text(step.token).tolist(),
            repeat(False) if step.injected is None else step.injected.tolist(),
            step.probability.tolist(),
            step.lateness_s.tolist(),
            repeat(0) if step.missed_before is None else step.missed_before.tolist(),
            strict=False,
        )
        with self._lock:
            for conversation, frame, caller, moshi, audible, text, forced, probability, lateness_s, missed in rows:
                live = self._live.get(conversation)
                if live is None:
                    continue
                if live.lateness is not None:
                    live.lateness.add(frame, lateness_s)
                if live.observed.take(caller, moshi, audible, text, forced, probability, lateness_s) or missed:
                    found += self._tell(conversation, live, text, step.hangover_frames, missed)
        return found + self._recorder.take(step)

    def export(self, conversation: str) -> bytes:
        place = self._recorder.cut(conversation)
        with self._lock:
            live = self._live[conversation]
            beside = {
                "recording": None if place is None else attrs.astuple(place),
                "lateness": None if live.lateness is None else live.lateness.to_fields(),
                "said": live.said,
                "extractor": live.extractor,
            }
            return json.dumps(beside).encode() + b"\n" + live.observed.to_bytes()

    def close(self, conversation: str) -> Sequence[Event]:
        self._recorder.end(conversation)
        with self._lock:
            live = self._live.pop(conversation, None)
            if live is None or not live.observed.seen:
                return ()
            found: list[Event] = []
            live.observed.finish(found)
            found.append(self._snapshot(live, "end"))
        return [attrs.evolve(event, conversation=conversation) for event in found]

    def view(self, conversation: str) -> ConversationState | None:
        with self._lock:
            live = self._live.get(conversation)
            if live is None:
                return None
            metrics, line = live.observed.metrics(), live.observed.timeline
            phase, frame = line.phase, line.seen
        quality = judge(metrics, self._weights)
        return ConversationState(conversation=conversation, phase=phase, frame=frame, metrics=metrics, quality=quality)

    def _tell(
        self, conversation: str, live: _Live, text: bool, hangover_frames: int, missed_before: int
    ) -> list[Event]:
        found: list[Event] = []
        live.observed.tell(text=text, hangover_frames=hangover_frames, missed_before=missed_before, events=found)
        waits = any(isinstance(event, PhaseChanged) and event.phase == "waiting" for event in found)
        if waits or live.observed.timeline.seen >= live.next_snapshot:
            live.next_snapshot = live.observed.timeline.seen + live.snapshot_frames
            found.append(self._snapshot(live, "phase" if waits else "interval"))
        live.observed.rest(live.next_snapshot)
        return [attrs.evolve(event, conversation=conversation) for event in found]

    def _snapshot(self, live: _Live, reason: Any) -> Snapshot:
        metrics, line = live.observed.metrics(), live.observed.timeline
        text, live.said = " ".join(live.said), []
        return Snapshot(
            frame=line.frame,
            reason=reason,
            phase=line.phase,
            metrics=metrics,
            quality=judge(metrics, self._weights),
            recent=tuple(json.loads(event_to_json(event)) for event in live.recent),
            text=text,
            lateness_s=() if live.lateness is None else live.lateness.take(),
        )

    # Storing

    def record(self, events: Sequence[Event]) -> None:
        self._keeper.append(events)
        with self._lock:
            for event in events:
                live = self._live.get(event.conversation)
                if live is not None:
                    _notice(live, event)
                    if isinstance(event, Opened):
                        self._begin(live, event)

    def _begin(self, live: _Live, opened: Opened) -> None:
        if opened.realtime is False:
            live.lateness = None
        if opened.options.get("record"):
            self._recorder.begin(opened.conversation, live.info, Place(0, 0))

    def save(self, parked: ParkedState) -> None:
        self._recorder.settle(parked.conversation)
        with self._keeper.store() as store:
            store.put_blob(parked.conversation, _MODEL_STATE, to_chunks(parked))

    def load(self, conversation: str) -> ParkedState | None:
        with self._keeper.store() as store:
            if not store.has_blob(conversation, _MODEL_STATE):
                return None
            chunks = store.get_blob(conversation, _MODEL_STATE)
            return from_chunks(chunks, f"the saved state of conversation {conversation}")

    def discard(self, conversation: str) -> None:
        with self._keeper.store() as store:
            store.delete_blob(conversation, _MODEL_STATE)

    def unfinished(self) -> Sequence[Unfinished]:
        with self._keeper.store() as store:
            return [
                Unfinished(
                    conversation=row.conversation,
                    last_sequence=row.last_sequence,
                    resumable=store.has_blob(row.conversation, _MODEL_STATE),
                    token_digest=_token_digest(store, row.conversation),
                )
                for row in store.find(unfinished=True, limit=_ALL)
            ]

    def finish(self) -> None:
        """Store what still waits to be."""
        self._recorder.close()

    async def purge_forever(self) -> None:
        """Delete what is too old, from time to time, on another thread than the one that stores events."""
        await self._keeper.purge_forever()


def _frames(seconds: float, info: ProcessorInfo) -> int:
    # Rounded first: 1.2 s at 80 ms are 15 frames, and not 16 because 1.2 / 0.08 is a little more than 15.
    return math.ceil(round(seconds / info.frame_s, 6))


def _parted(state: bytes | None) -> tuple[dict[str, Any], bytes | None]:
    """Return the line that was exported of a conversation, and what `Observed.to_bytes` made of all that was counted.

    What an earlier version exported has no such line.
    """
    line, newline, seen = (state or b"").partition(b"\n")
    return (json.loads(line), seen) if newline else ({}, state)


def _notice(live: _Live, event: Event) -> None:
    """Take in a numbered event for the next snapshot. One that is recorded again after a failure was not before."""
    if isinstance(event, Gap):
        live.observed.lost(event.frames)
    if isinstance(event, ExtractedText):
        live.extractor = live.extractor if live.extractor is not None else event.extractor
        if event.extractor == live.extractor and event.speaker == "moshi":
            live.said.append(event.text)
    elif not isinstance(event, Snapshot):
        live.recent.append(event)


def _token_digest(store: StateStore, conversation: str) -> str:
    opened = next(iter(store.events(conversation)), None)
    return opened.token_digest if isinstance(opened, Opened) else ""


@asynccontextmanager
async def open_conversation_manager(
    config: ConversationManagerConfig, context: Context
) -> AsyncIterator[ConversationManager]:
    """Yield the manager that `config` describes; old conversations are purged while it is held."""
    if context.store is None:
        raise StoreError("the state manager 'conversation' was given no state store; hand it one in its Context")
    manager = ConversationManager(context.store, config, context.clock)
    purging = asyncio.create_task(manager.purge_forever())
    try:
        yield manager
    finally:
        purging.cancel()
        with suppress(asyncio.CancelledError):
            await purging
        await asyncio.to_thread(manager.finish)
