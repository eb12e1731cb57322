"""State managers that are broken, each in one way."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import attrs

from coda_core.clock import Clock
from coda_core.errors import StoreError
from coda_core.events import Event, Paused
from coda_core.interfaces import ParkedState, ProcessorInfo, StateStore, StepRecords, Unfinished
from coda_core.state import ConversationState
from coda_state.config import ConversationManagerConfig
from coda_state.conversation import ConversationManager

__all__ = ["BROKEN"]


class CannotBeViewed(ConversationManager):
    view: Any = None


class StoresLater(ConversationManager):
    def record(self, events: Sequence[Event]) -> None:
        waiting: list[Event] = getattr(self, "waiting", [])
        super().record(waiting)
        self.waiting = list(events)


class KeepsQuietOfFailures(ConversationManager):
    def record(self, events: Sequence[Event]) -> None:
        with suppress(StoreError):
            super().record(events)


class LoadsAnother(ConversationManager):
    def load(self, conversation: str) -> ParkedState | None:
        state = super().load(conversation)
        return None if state is None else attrs.evolve(state, frame=state.frame + 1)


class BelievesWhatIsDamaged(ConversationManager):
    def load(self, conversation: str) -> ParkedState | None:
        with suppress(StoreError):
            return super().load(conversation)
        return None


class FindsNobody(ConversationManager):
    def unfinished(self) -> Sequence[Unfinished]:
        return ()


class WithItsStore(ConversationManager):
    def __init__(self, store: StateStore, config: ConversationManagerConfig, clock: Clock) -> None:
        super().__init__(store, config, clock)
        self.its_store = store
        self.its_lock = threading.Lock()
        self.counts: Counter[str] = Counter()


class LooksMeanwhile(WithItsStore):
    def record(self, events: Sequence[Event]) -> None:
        done = threading.Event()

        def look() -> None:
            while not done.wait(0.01):
                self.its_store.find()

        looking = threading.Thread(target=look)
        looking.start()
        try:
            super().record(events)
        finally:
            done.set()
            looking.join()


class NamesAnother(ConversationManager):
    def close(self, conversation: str) -> Sequence[Event]:
        return [*super().close(conversation), Paused(conversation="another")]


class Counting(WithItsStore):
    """Tells of every step, with a number of `key`."""

    def key(self, conversation: str) -> str:
        return conversation

    def feed(self, step: StepRecords) -> Sequence[Event]:
        found = list(super().feed(step))
        for record in step:
            self.counts[self.key(record.conversation)] += 1
            number = self.counts[self.key(record.conversation)]
            found.append(Paused(conversation=record.conversation, frame=number))
        return found


class CountsTogether(Counting):
    def key(self, conversation: str) -> str:
        return "all"


class BeginsAnew(ConversationManager):
    def open(self, conversation: str, info: ProcessorInfo, state: bytes | None = None) -> None:
        super().open(conversation, info)


class WantsEveryFrame(ConversationManager):
    def feed(self, step: StepRecords) -> Sequence[Event]:
        if any(record.missed_before for record in step):
            raise RuntimeError("frames are missing")
        return super().feed(step)


class WorksInPlace(ConversationManager):
    def feed(self, step: StepRecords) -> Sequence[Event]:
        for record in step:
            record.heard[:] += 1
        return super().feed(step)


class KeepsEveryFrame(Counting):
    def export(self, conversation: str) -> bytes:
        return super().export(conversation) + bytes(8 * self.counts[conversation])


class SeesNobody(ConversationManager):
    def view(self, conversation: str) -> ConversationState | None:
        return None


class WaitsForItsStore(WithItsStore):
    def record(self, events: Sequence[Event]) -> None:
        with self.its_lock:
            super().record(events)

    def view(self, conversation: str) -> ConversationState | None:
        with self.its_lock:
            return super().view(conversation)


BROKEN: dict[str, type] = {
    "test_has_the_methods_of_its_protocol": CannotBeViewed,
    "test_what_is_recorded_is_in_the_store": StoresLater,
    "test_a_failing_store_is_said_and_may_be_tried_again": KeepsQuietOfFailures,
    "test_model_state_comes_back_equal": LoadsAnother,
    "test_a_damaged_model_state_is_refused": BelievesWhatIsDamaged,
    "test_unfinished_conversations_are_listed": FindsNobody,
    "test_the_store_sees_one_call_at_a_time": LooksMeanwhile,
    "test_finds_events_of_the_right_conversation": NamesAnother,
    "test_conversations_are_kept_apart": CountsTogether,
    "test_a_closed_conversation_is_forgotten": Counting,
    "test_goes_on_from_what_it_exported": BeginsAnew,
    "test_missed_records_are_survived": WantsEveryFrame,
    "test_records_are_left_as_they_are": WorksInPlace,
    "test_a_long_conversation_costs_no_more_than_a_short_one": KeepsEveryFrame,
    "test_a_live_conversation_can_be_viewed": SeesNobody,
    "test_a_view_waits_for_no_store": WaitsForItsStore,
}
"""By the check that finds it out."""
