"""State stores that are broken, each in one way. At the top of a module, because other processes open them too."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs

from coda_core.errors import StoreError
from coda_core.events import Event, Opened
from coda_core.interfaces import Component, Context, ConversationRow
from coda_core.settings import setting
from coda_core.state import Passage
from coda_state.memory import MemoryStore
from coda_state.sqlite import SqliteStore

__all__ = ["BROKEN_DURABLE", "BROKEN_IN_MEMORY", "component_of"]


@attrs.frozen
class BrokenConfig:
    """Settings of a broken store."""

    how: str = setting("", help="the name of its class")


# Broken in memory


class ForgetsPassages(MemoryStore):
    passages: Any = None


class HasSomethingAtFirst(MemoryStore):
    def __init__(self, conversations: int, logger: logging.Logger) -> None:
        super().__init__(conversations, logger)
        self.append([Opened(conversation="example", sequence=1)])


class ChangesText(MemoryStore):
    def events(self, conversation: str, after: int = 0) -> Iterator[Event]:
        for event in super().events(conversation, after):
            yield attrs.evolve(event, time_s=round(event.time_s) + 1)


class StopsAtZeroBytes(MemoryStore):
    def append(self, events: Sequence[Event]) -> None:
        super().append([attrs.evolve(event, message=event.message.split("\0")[0]) for event in events])  # type: ignore


class RoundsNames(MemoryStore):
    """Conversations are told apart without case."""

    def append(self, events: Sequence[Event]) -> None:
        super().append([attrs.evolve(event, conversation=event.conversation.lower()) for event in events])

    def events(self, conversation: str, after: int = 0) -> Iterator[Event]:
        return super().events(conversation.lower(), after)


class ForgetsWhatItDoesNotKnow(MemoryStore):
    def append(self, events: Sequence[Event]) -> None:
        super().append([event for event in events if event.type != "unknown"])


class InTheOrderOfArrival(MemoryStore):
    def events(self, conversation: str, after: int = 0) -> Iterator[Event]:
        stored = {event.sequence: event for event in super().events(conversation, after)}
        kept = self._kept.get(conversation)
        return iter([stored[sequence] for sequence in (kept.events if kept else ()) if sequence in stored])


class CountsFromZero(MemoryStore):
    def events(self, conversation: str, after: int = 0) -> Iterator[Event]:
        return super().events(conversation, after - 1)


class OnePageOnly(MemoryStore):
    def events(self, conversation: str, after: int = 0) -> Iterator[Event]:
        return iter(list(super().events(conversation, after))[:256])


class ReadersStopWriters(MemoryStore):
    """A reader that is not at its end keeps a lock."""

    def __init__(self, conversations: int, logger: logging.Logger) -> None:
        super().__init__(conversations, logger)
        self._reading = 0

    def events(self, conversation: str, after: int = 0) -> Iterator[Event]:
        self._reading += 1
        yield from list(super().events(conversation, after))
        self._reading -= 1

    def append(self, events: Sequence[Event]) -> None:
        assert not self._reading, "a reader holds the lock"
        super().append(events)


class CountsTwice(MemoryStore):
    def append(self, events: Sequence[Event]) -> None:
        known = {event.conversation for event in events} & set(self._kept)
        super().append(events)
        for name in known:
            row = self._kept[name].row
            self._kept[name].row = attrs.evolve(row, events=row.events + 1)


class TheLastOneCounts(MemoryStore):
    def append(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.conversation in self._kept:
                self._kept[event.conversation].events.pop(event.sequence, None)
            super().append([event])


class ForgetsWhatComesLate(MemoryStore):
    def append(self, events: Sequence[Event]) -> None:
        last = {name: kept.row.last_sequence for name, kept in self._kept.items()}
        super().append([event for event in events if event.sequence > last.get(event.conversation, 0)])


class OneByOne(MemoryStore):
    def append(self, events: Sequence[Event]) -> None:
        for event in events:
            super().append([event])


class TakesWhatHasNoNumber(MemoryStore):
    def append(self, events: Sequence[Event]) -> None:
        super().append([event for event in events if event.conversation and event.sequence > 0])


class OneConversationOfABatch(MemoryStore):
    def append(self, events: Sequence[Event]) -> None:
        super().append([attrs.evolve(event, conversation=events[0].conversation) for event in events])


class Find(MemoryStore):
    """Finds all rows; a subclass says what it makes of them."""

    def find(
        self, *, user_id: str | None = None, unfinished: bool = False, limit: int = 100
    ) -> Sequence[ConversationRow]:
        return self.made(super().find(user_id=user_id, unfinished=unfinished, limit=limit), limit)

    def made(self, rows: Sequence[ConversationRow], limit: int) -> Sequence[ConversationRow]:
        return rows


class FindForgetsTheEnd(Find):
    def made(self, rows: Sequence[ConversationRow], limit: int) -> Sequence[ConversationRow]:
        return [attrs.evolve(row, closed_s=None) for row in rows]


class FindTheEarliestFirst(Find):
    def made(self, rows: Sequence[ConversationRow], limit: int) -> Sequence[ConversationRow]:
        return rows[::-1]


class FindOfEverybody(Find):
    def find(
        self, *, user_id: str | None = None, unfinished: bool = False, limit: int = 100
    ) -> Sequence[ConversationRow]:
        return super().find(unfinished=unfinished, limit=limit)


class FindWantsAnOpening(Find):
    def made(self, rows: Sequence[ConversationRow], limit: int) -> Sequence[ConversationRow]:
        return [row for row in rows if 1 in self._kept[row.conversation].events]


class FindTakesAllForFinished(Find):
    def find(
        self, *, user_id: str | None = None, unfinished: bool = False, limit: int = 100
    ) -> Sequence[ConversationRow]:
        return [] if unfinished else super().find(user_id=user_id, limit=limit)


class KeepsTheFirstChunk(MemoryStore):
    def put_blob(self, conversation: str, name: str, chunks: Iterable[bytes]) -> None:
        super().put_blob(conversation, name, list(chunks)[:1])


class OneBlobForEach(MemoryStore):
    def put_blob(self, conversation: str, name: str, chunks: Iterable[bytes]) -> None:
        super().put_blob(conversation, "", chunks)

    def get_blob(self, conversation: str, name: str) -> Iterator[bytes]:
        return super().get_blob(conversation, "")


class AddsToTheBlob(MemoryStore):
    def put_blob(self, conversation: str, name: str, chunks: Iterable[bytes]) -> None:
        before = self._blobs.get(conversation, {}).get(name, ())
        super().put_blob(conversation, name, [*before, *chunks])


class HalfABlob(MemoryStore):
    def put_blob(self, conversation: str, name: str, chunks: Iterable[bytes]) -> None:
        taken: list[bytes] = []
        try:
            taken.extend(chunks)
        finally:
            super().put_blob(conversation, name, taken)


class LocksWhileItPuts(MemoryStore):
    def __init__(self, conversations: int, logger: logging.Logger) -> None:
        super().__init__(conversations, logger)
        self._putting = False

    def put_blob(self, conversation: str, name: str, chunks: Iterable[bytes]) -> None:
        self._putting = True
        super().put_blob(conversation, name, chunks)
        self._putting = False

    def get_blob(self, conversation: str, name: str) -> Iterator[bytes]:
        for chunk in list(super().get_blob(conversation, name)):
            assert not self._putting, "it is locked"
            yield chunk


class AMissingBlobIsEmpty(MemoryStore):
    def get_blob(self, conversation: str, name: str) -> Iterator[bytes]:
        return super().get_blob(conversation, name) if self.has_blob(conversation, name) else iter(())


class ABlobOpensAConversation(MemoryStore):
    def put_blob(self, conversation: str, name: str, chunks: Iterable[bytes]) -> None:
        super().put_blob(conversation, name, chunks)
        self.append([Opened(conversation=conversation, sequence=1)])


class DropsAllBlobs(MemoryStore):
    def delete_blob(self, conversation: str, name: str) -> None:
        self._blobs.pop(conversation, None)


class OnePassage(MemoryStore):
    def passages(self, conversation: str) -> Iterator[Passage]:
        return iter(list(super().passages(conversation))[:1])


class PassagesOnlyWhenOver(MemoryStore):
    def passages(self, conversation: str) -> Iterator[Passage]:
        kept = self._kept.get(conversation)
        return (draft.passage(conversation) for draft in (kept.drafts if kept else ()) if draft.complete)


class SearchIsByCase(MemoryStore):
    def search(self, text: str, *, user_id: str | None = None, limit: int = 100) -> Sequence[Passage]:
        found = super().search(text, user_id=user_id, limit=limit)
        return [passage for passage in found if text.strip('"*') in passage.text]


class SearchFindsWhatGrows(MemoryStore):
    def search(self, text: str, *, user_id: str | None = None, limit: int = 100) -> Sequence[Passage]:
        return [passage for name in self._kept for passage in self.passages(name) if text in passage.text]


class NeverTrims(MemoryStore):
    def trim(self, conversation: str, *, events: int, snapshots: int) -> None:
        pass


class Trims(MemoryStore):
    """Trims everything, whatever it is."""

    def trim(self, conversation: str, *, events: int, snapshots: int) -> None:
        kept = self._kept.get(conversation)
        for sequence in sorted(kept.events)[: -events or None] if kept else ():
            del kept.events[sequence]  # type: ignore[union-attr]


class PurgesTheLatest(MemoryStore):
    def purge(self, before_s: float) -> str | None:
        old = [row for row in self.find() if row.last_s < before_s]
        if old:
            self.delete(old[0].conversation)
        return old[0].conversation if old else None


class PurgesByTheOpening(MemoryStore):
    def purge(self, before_s: float) -> str | None:
        return next((row.conversation for row in self.find() if row.opened_s < before_s), None)


class DeletesAll(MemoryStore):
    def delete(self, conversation: str) -> None:
        for name in tuple(self._kept):
            super().delete(name)


class DeletesOnlyWhatItHas(MemoryStore):
    def delete(self, conversation: str) -> None:
        if conversation not in self._kept:
            raise StoreError(f"there is no conversation {conversation}")
        super().delete(conversation)


class DeletesNoBlobAlone(MemoryStore):
    def delete(self, conversation: str) -> None:
        if conversation in self._kept:
            super().delete(conversation)


class DeletedForEver(MemoryStore):
    def __init__(self, conversations: int, logger: logging.Logger) -> None:
        super().__init__(conversations, logger)
        self._gone: set[str] = set()

    def delete(self, conversation: str) -> None:
        super().delete(conversation)
        self._gone.add(conversation)

    def append(self, events: Sequence[Event]) -> None:
        super().append([event for event in events if event.conversation not in self._gone])


class DeletesWithoutItsIndex(MemoryStore):
    def __init__(self, conversations: int, logger: logging.Logger) -> None:
        super().__init__(conversations, logger)
        self._index: dict[str, list[Passage]] = {}

    def append(self, events: Sequence[Event]) -> None:
        super().append(events)
        self._index.update({name: list(self.passages(name)) for name in self._kept})

    def search(self, text: str, *, user_id: str | None = None, limit: int = 100) -> Sequence[Passage]:
        return [passage for passages in self._index.values() for passage in passages if text in passage.text]


# Broken on disk


class SaysDurableTooEarly(SqliteStore):
    """Stores a batch with the next one."""

    _late: Sequence[Event] = ()

    def append(self, events: Sequence[Event]) -> None:
        late, self._late = self._late, events
        super().append(late)

    def events(self, conversation: str, after: int = 0) -> Iterator[Event]:
        super().append(self._late)
        return super().events(conversation, after)


class LosesItAtTheEnd(MemoryStore):
    """Takes itself for durable, and is not."""


class StoresABlobInPieces(SqliteStore):
    def put_blob(self, conversation: str, name: str, chunks: Iterable[bytes]) -> None:
        taken: list[bytes] = []
        for chunk in chunks:
            taken.append(chunk)
            super().put_blob(conversation, name, taken)


class HoldsAllOfABlob(SqliteStore):
    def put_blob(self, conversation: str, name: str, chunks: Iterable[bytes]) -> None:
        super().put_blob(conversation, name, [b"".join(chunks)])


class LeavesTheBytes(SqliteStore):
    def delete(self, conversation: str) -> None:
        with self._session.writing("delete") as connection:
            connection.execute("PRAGMA secure_delete = OFF")
            connection.execute("DELETE FROM conversations WHERE conversation = ?", (conversation,))


class NotTwice(SqliteStore):
    """Keeps out a second process, and says that it can be shared."""

    def open(self) -> None:
        lock = self._session.path.with_suffix(".lock")
        if lock.exists():
            raise StoreError("somebody has it already")
        super().open()
        lock.touch()

    def close(self) -> None:
        super().close()
        self._session.path.with_suffix(".lock").unlink(missing_ok=True)


class TakesWhatItWants(SqliteStore):
    def claim(self, conversation: str) -> bool:
        self._writer.claim()
        return True


class WritesWhatOthersHave(SqliteStore):
    def append(self, events: Sequence[Event]) -> None:
        with self._session.writing("take all") as connection:
            connection.execute("UPDATE conversations SET writer = NULL")
        super().append(events)


class NeverLetsGo(SqliteStore):
    def claim(self, conversation: str) -> bool:
        return False


class StaysCancelled(SqliteStore):
    """Once opening it was cut short it cannot be opened any more."""


class BlocksTheLoop(SqliteStore):
    """Opens on the event loop."""


class LeavesAThread(SqliteStore):
    """Starts a thread that nobody ends."""


BROKEN_IN_MEMORY = {
    "test_has_the_methods_of_a_store": ForgetsPassages,
    "test_is_empty_at_first": HasSomethingAtFirst,
    "test_events_come_back_equal_and_in_order": ChangesText,
    "test_events_of_another_installation_pass_untouched": ForgetsWhatItDoesNotKnow,
    "test_text_of_any_kind_comes_back": StopsAtZeroBytes,
    "test_order_is_by_number_however_it_was_stored": InTheOrderOfArrival,
    "test_events_after_a_number": CountsFromZero,
    "test_more_events_than_are_read_at_once": OnePageOnly,
    "test_reading_may_stop_half_way_and_writing_go_on": ReadersStopWriters,
    "test_a_repeated_append_changes_nothing": CountsTwice,
    "test_what_is_stored_under_a_number_stays": TheLastOneCounts,
    "test_a_gap_in_the_numbers_is_filled_later": ForgetsWhatComesLate,
    "test_a_batch_is_stored_whole_or_not_at_all": OneByOne,
    "test_an_event_without_a_number_is_a_defect": TakesWhatHasNoNumber,
    "test_one_batch_over_many_conversations": OneConversationOfABatch,
    "test_find_sums_up_a_conversation": FindForgetsTheEnd,
    "test_find_gives_the_latest_first": FindTheEarliestFirst,
    "test_find_by_user": FindOfEverybody,
    "test_find_without_a_stored_opening_goes_by_the_first_event": FindWantsAnOpening,
    "test_conversations_without_an_end_are_found": FindTakesAllForFinished,
    "test_is_there_when_it_is_opened_again": LosesItAtTheEnd,
    "test_a_blob_comes_back_equal": KeepsTheFirstChunk,
    "test_blobs_are_told_apart_by_conversation_and_name": OneBlobForEach,
    "test_a_blob_replaces_the_one_before": AddsToTheBlob,
    "test_a_blob_is_stored_whole_or_not_at_all": HalfABlob,
    "test_a_blob_may_be_made_of_a_stored_one": LocksWhileItPuts,
    "test_a_missing_blob_is_named": AMissingBlobIsEmpty,
    "test_a_blob_makes_no_conversation": ABlobOpensAConversation,
    "test_a_blob_is_there_until_it_is_dropped": DropsAllBlobs,
    "test_what_was_said_is_there_in_passages": OnePassage,
    "test_words_that_nobody_has_ended_are_there_too": PassagesOnlyWhenOver,
    "test_a_passage_is_found_by_its_words": SearchIsByCase,
    "test_a_passage_is_found_from_when_it_is_over": SearchFindsWhatGrows,
    "test_the_oldest_events_before_a_snapshot_are_dropped_and_counted": NeverTrims,
    "test_what_no_snapshot_sums_up_is_not_dropped": Trims,
    "test_what_is_in_no_passage_yet_is_not_dropped": Trims,
    "test_what_tokens_depend_on_is_not_dropped": Trims,
    "test_conversations_are_purged_the_oldest_first": PurgesTheLatest,
    "test_a_conversation_is_as_old_as_its_latest_event": PurgesByTheOpening,
    "test_delete_removes_one_conversation_and_no_other": DeletesAll,
    "test_delete_of_what_is_not_there": DeletesOnlyWhatItHas,
    "test_delete_of_a_blob_alone": DeletesNoBlobAlone,
    "test_a_deleted_conversation_may_come_again": DeletedForEver,
    "test_what_is_deleted_is_not_found": DeletesWithoutItsIndex,
}
"""By the check that finds it."""

BROKEN_DURABLE = {
    "test_nothing_of_what_is_deleted_is_left_in_its_files": LeavesTheBytes,
    "test_what_was_acknowledged_outlives_a_kill": SaysDurableTooEarly,
    "test_after_a_kill_in_the_middle_of_a_blob_the_old_one_is_there": StoresABlobInPieces,
    "test_large_things_are_not_held_in_memory": HoldsAllOfABlob,
    "test_may_be_cancelled_at_every_await": StaysCancelled,
    "test_leaves_the_event_loop_free": BlocksTheLoop,
    "test_leaves_no_thread_behind": LeavesAThread,
    "test_processes_that_open_it_at_once_share_it": NotTwice,
    "test_a_conversation_belongs_to_the_process_that_writes_it": TakesWhatItWants,
    "test_who_released_a_conversation_may_be_succeeded": WritesWhatOthersHave,
    "test_a_process_that_ends_gives_its_conversations_free": NeverLetsGo,
}

_CLASSES: dict[str, Any] = {
    kind.__name__: kind for kind in (*BROKEN_IN_MEMORY.values(), *BROKEN_DURABLE.values(), RoundsNames)
}


async def _held(mark: Path) -> None:
    """Wait a turn, with a mark on the disk that is left behind where this is cut short."""
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        raise StoreError("it was never opened properly") from None
    await asyncio.sleep(0)
    await asyncio.to_thread(mark.unlink)


@asynccontextmanager
async def _open(config: BrokenConfig, context: Context) -> AsyncIterator[Any]:
    made = _CLASSES[config.how]
    if issubclass(made, MemoryStore):
        yield made(1000, context.logger)
        return
    store: SqliteStore = made(context.base_dir / "conversations.db", 30.0, context.logger)
    mark: Path = context.base_dir / "opening"
    if made is StaysCancelled:
        await _held(mark)
    if made is LeavesAThread:
        threading.Thread(target=time.sleep, args=(1.0,)).start()
    try:
        if made is BlocksTheLoop:
            store.open()
        else:
            await asyncio.to_thread(store.open)
        yield store
    finally:
        if made is BlocksTheLoop:
            store.close()
        else:
            await asyncio.to_thread(store.close)


def component_of(broken: type) -> Component[BrokenConfig]:
    """Return the component that makes a broken store."""
    return Component(broken.__name__.lower(), "Is broken.", BrokenConfig, _open)
