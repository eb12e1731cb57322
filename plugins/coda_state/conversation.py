"""The state manager `conversation`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from coda_core.errors import StoreError
from coda_core.events import Event
from coda_core.interfaces import Context, ProcessorInfo, StateStore, StepRecord
from coda_state.config import ConversationManagerConfig

__all__ = ["ConversationManager", "open_conversation_manager"]


class ConversationManager:
    """Stores every event that it is given, of every kind. It derives nothing from steps."""

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def open(self, conversation: str, info: ProcessorInfo) -> None:
        """Nothing is held for a conversation."""

    def feed(self, step: Sequence[StepRecord]) -> Sequence[Event]:
        return ()

    def close(self, conversation: str) -> Sequence[Event]:
        return ()

    def record(self, events: Sequence[Event]) -> None:
        """Store numbered events of any conversations. They are durable when this returns; raises `StoreError`."""
        self._store.append(events)


@asynccontextmanager
async def open_conversation_manager(
    _config: ConversationManagerConfig, context: Context
) -> AsyncIterator[ConversationManager]:
    if context.store is None:
        raise StoreError("the state manager 'conversation' was given no state store; hand it one in its Context")
    yield ConversationManager(context.store)
