"""The kind `state_store`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import attrs

from coda_core.events import Event
from coda_core.state import Passage

__all__ = ["ConversationRow", "SharedStore", "StateStore"]


@attrs.frozen(kw_only=True)
class ConversationRow:
    """One stored conversation, as a list shows it."""

    conversation: str
    opened_s: float
    """Wall-clock seconds since 1970-01-01 UTC."""
    closed_s: float | None
    """None while it is live, or where its end was never recorded."""
    user_id: str | None
    events: int
    """Events that are stored now."""
    last_sequence: int
    last_s: float = 0.0
    """Wall-clock time of its latest event."""
    dropped_events: int = 0
    """Events that `StateStore.trim` removed."""
    dropped_snapshots: int = 0


class StateStore(Protocol):
    """Owns durability. Called by the state manager alone, one method at a time; `append` on its F.

    Raises `coda_core.errors.StoreError` where something cannot be written or read.
    """

    def append(self, events: Sequence[Event]) -> None:
        """Store events, all or none. Durable when it returns.

        An event whose conversation and sequence are already stored is left as it is: a caller may repeat a call
        of which it does not know whether it succeeded.
        """

    def events(self, conversation: str, after: int = 0) -> Iterator[Event]:
        """Yield the events of a conversation with a sequence above `after`, in order."""

    def find(
        self, *, user_id: str | None = None, unfinished: bool = False, limit: int = 100
    ) -> Sequence[ConversationRow]:
        """Return conversations, the latest first.

        `unfinished` leaves only those whose end was never recorded and that no living process goes on writing to.
        """

    def put_blob(self, conversation: str, name: str, chunks: Iterable[bytes]) -> None:
        """Store bytes under a name, whole or not at all, replacing what was there. Durable when it returns."""

    def get_blob(self, conversation: str, name: str) -> Iterator[bytes]:
        """Yield the bytes in chunks; raises `StoreError` where there are none of that name."""

    def has_blob(self, conversation: str, name: str) -> bool:
        """Return whether there are bytes of that name."""

    def delete_blob(self, conversation: str, name: str) -> None:
        """Remove the bytes of that name. Does nothing where there are none."""

    def passages(self, conversation: str) -> Iterator[Passage]:
        """Yield what was said, in the order in which it began to be stored; `trim` leaves it whole."""

    def search(self, text: str, *, user_id: str | None = None, limit: int = 100) -> Sequence[Passage]:
        """Return the passages that hold all words of `text`, the latest first.

        Case and accents do not count; words between double quotes stand side by side; a word may end in ``*`` to
        stand for all that begin so. A passage is found from when it is over: a pause, some fifty words, or the end.
        """

    def trim(self, conversation: str, *, events: int, snapshots: int) -> None:
        """Drop the oldest events and snapshots of a conversation above these numbers, and count them in its row.

        Only what lies before the latest snapshot is dropped, and never what a conversation's tokens depend on: how
        it was opened, what was injected, lost or restarted, when it was parked, and how it ended.
        """

    def purge(self, before_s: float) -> str | None:
        """Delete one conversation whose latest event is older than `before_s`, and return its id; None for none."""

    def delete(self, conversation: str) -> None:
        """Remove all of a conversation for good, down to the bytes. Does nothing where there is none."""


class SharedStore(StateStore, Protocol):
    """A store that the kernels of several processes use at the same time.

    A conversation belongs to the process that stored an event of it or claimed it last, until that releases it or lives
    no more. `append` raises `coda_core.errors.ConversationTaken` for one that another living process has.
    """

    def claim(self, conversation: str) -> bool:
        """Take a stored conversation for this process; return False where another living process has it.

        Of several processes that claim it at the same time, one gets it.
        """

    def release(self, conversation: str) -> None:
        """Give a conversation up, so that any process may claim it. Does nothing where it is not this process's."""
