"""The kind `state_manager`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs

from coda_core.events import Event
from coda_core.interfaces.follower import Follower
from coda_core.interfaces.parked import ParkedState
from coda_core.state import ConversationState

__all__ = ["Recording", "StateManager", "Unfinished"]


class StateManager(Follower, Protocol):
    """Owns the meaning of what happens, and what of it is stored."""

    def record(self, events: Sequence[Event]) -> None:
        """Store numbered events of any conversations. They are durable when this returns; raises `StoreError`."""

    def save(self, parked: ParkedState) -> None:
        """Store a conversation's model state in place of an earlier one. Durable when it returns."""

    def load(self, conversation: str) -> ParkedState | None:
        """Return what `save` stored last, None where there is none; raises `StoreError` where it is damaged."""

    def discard(self, conversation: str) -> None:
        """Drop what `save` stored, if anything."""

    def view(self, conversation: str) -> ConversationState | None:
        """Return what a live conversation is doing, None for one that is not open. Any thread; reads no store."""

    def unfinished(self) -> Sequence[Unfinished]:
        """Return the stored conversations whose end was never recorded, and that no other living process has.

        Called before any is opened and, with a `SharedStore`, whenever another process has left some.
        """


class Recording(StateManager, Protocol):
    """A state manager that can record: each conversation whose `SlotOptions.record` is true.

    What it records is in its store as `coda_core.recording` has it.
    """

    records: bool
    """Whether conversations are recorded that do not say."""


@attrs.frozen(kw_only=True)
class Unfinished:
    """A stored conversation that an earlier process left without an end."""

    conversation: str
    last_sequence: int
    resumable: bool
    """Whether its model state was saved."""
    token_digest: str
    """Of its resume token, from its `Opened`."""
