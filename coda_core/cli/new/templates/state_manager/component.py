"""The state manager `example`.

Everything but `view` is called on a thread of its own, behind the audio. `view` may be called on any thread, and waits
for no store.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import attrs
from coda_core import Context, Event, Opened, StoreError
from coda_core.interfaces import ParkedState, ProcessorInfo, StateStore, StepRecord, Unfinished
from coda_core.parking import from_chunks, to_chunks
from coda_core.state import ConversationMetrics, ConversationState, Phase, PhaseChanged, Quality

from coda_example.register import ExampleConfig

_MODEL_STATE = "model-state"
_ALL = 2**31 - 1


@attrs.define
class _Live:
    """What is counted of one conversation, in frames."""

    frame_s: float
    phase: Phase = "initializing"
    seen: int = 0
    caller: int = 0
    moshi: int = 0
    overlap: int = 0
    silence: int = 0
    quiet_since: int = 0


class Example:
    """Phases and counts of live conversations, and the only one who talks to the store."""

    def __init__(self, config: ExampleConfig, store: StateStore) -> None:
        self._waiting_after_s = config.waiting_after_ms / 1000
        self._store = store
        self._live: dict[str, _Live] = {}

    # Following steps

    def open(self, conversation: str, info: ProcessorInfo, state: bytes | None = None) -> None:
        self._live[conversation] = _Live(info.frame_s) if state is None else _Live(**json.loads(state))

    def feed(self, step: Sequence[StepRecord]) -> Sequence[Event]:
        found: list[Event] = []
        for record in step:
            live = self._live[record.conversation]
            live.seen = record.frame + 1
            live.caller += record.caller_speaking
            live.moshi += record.moshi_speaking
            live.overlap += record.caller_speaking and record.moshi_speaking
            quiet = not (record.caller_speaking or record.moshi_speaking)
            live.silence += quiet
            live.quiet_since = live.quiet_since if quiet else live.seen
            phase = self._phase(live, record)
            if phase != live.phase:
                found.append(
                    PhaseChanged(conversation=record.conversation, frame=record.frame, phase=phase, before=live.phase)
                )
                live.phase = phase
        return found

    def export(self, conversation: str) -> bytes:
        return json.dumps(attrs.asdict(self._live[conversation])).encode()

    def close(self, conversation: str) -> Sequence[Event]:
        live = self._live.pop(conversation)
        return [PhaseChanged(conversation=conversation, frame=live.seen, phase="ended", before=live.phase)]

    def view(self, conversation: str) -> ConversationState | None:
        live = self._live.get(conversation)
        if live is None:
            return None
        metrics = ConversationMetrics(
            frame_s=live.frame_s,
            frames=live.seen,
            caller_frames=live.caller,
            moshi_frames=live.moshi,
            overlap_frames=live.overlap,
            silence_frames=live.silence,
        )
        quality = Quality(reason="this state manager judges nothing")
        return ConversationState(
            conversation=conversation, phase=live.phase, frame=live.seen, metrics=metrics, quality=quality
        )

    def _phase(self, live: _Live, record: StepRecord) -> Phase:
        if record.moshi_speaking:
            return "responding"
        if record.caller_speaking or live.phase == "initializing":
            return "listening"
        if (live.seen - live.quiet_since) * live.frame_s >= self._waiting_after_s:
            return "waiting"
        return live.phase

    # Storing: whatever this returns from is durable

    def record(self, events: Sequence[Event]) -> None:
        self._store.append(events)

    def save(self, parked: ParkedState) -> None:
        self._store.put_blob(parked.conversation, _MODEL_STATE, to_chunks(parked))

    def load(self, conversation: str) -> ParkedState | None:
        if not self._store.has_blob(conversation, _MODEL_STATE):
            return None
        chunks = self._store.get_blob(conversation, _MODEL_STATE)
        return from_chunks(chunks, f"the saved state of conversation {conversation}")

    def discard(self, conversation: str) -> None:
        self._store.delete_blob(conversation, _MODEL_STATE)

    def unfinished(self) -> Sequence[Unfinished]:
        return [
            Unfinished(
                conversation=row.conversation,
                last_sequence=row.last_sequence,
                resumable=self._store.has_blob(row.conversation, _MODEL_STATE),
                token_digest=self._token_digest(row.conversation),
            )
            for row in self._store.find(unfinished=True, limit=_ALL)
        ]

    def _token_digest(self, conversation: str) -> str:
        opened = next(iter(self._store.events(conversation)), None)
        return opened.token_digest if isinstance(opened, Opened) else ""


@asynccontextmanager
async def open_example(config: ExampleConfig, context: Context) -> AsyncIterator[Example]:
    """The stack's store is in the context of a state manager, and of nobody else."""
    if context.store is None:
        raise StoreError("the state manager 'example' was given no state store; hand it one in its Context")
    yield Example(config, context.store)
