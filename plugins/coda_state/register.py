"""What `coda_state` offers. Light: the stores and the manager are imported when they are built."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final

from coda_core.hookspecs import hookimpl
from coda_core.interfaces import Component, Context
from coda_state.config import ConversationManagerConfig, MemoryStoreConfig, SqliteStoreConfig

if TYPE_CHECKING:
    from coda_state.conversation import ConversationManager
    from coda_state.memory import MemoryStore
    from coda_state.sqlite import SqliteStore

CODA_CONTRACT: Final = 1


@hookimpl
def coda_register_state_stores() -> Sequence[Component[Any]]:
    return [
        Component("sqlite", "Keeps conversations in an SQLite database.", SqliteStoreConfig, _open_sqlite),
        Component("memory", "Keeps conversations until the process ends.", MemoryStoreConfig, _open_memory),
    ]


@hookimpl
def coda_register_state_managers() -> Sequence[Component[Any]]:
    return [
        Component(
            "conversation",
            "Follows phases, turns and quality, and stores every event of a conversation.",
            ConversationManagerConfig,
            _open_conversation_manager,
        )
    ]


def _open_sqlite(config: SqliteStoreConfig, context: Context) -> AbstractAsyncContextManager[SqliteStore]:
    from coda_state.sqlite import open_sqlite_store

    return open_sqlite_store(config, context)


def _open_memory(config: MemoryStoreConfig, context: Context) -> AbstractAsyncContextManager[MemoryStore]:
    from coda_state.memory import open_memory_store

    return open_memory_store(config, context)


def _open_conversation_manager(
    config: ConversationManagerConfig, context: Context
) -> AbstractAsyncContextManager[ConversationManager]:
    from coda_state.conversation import open_conversation_manager

    return open_conversation_manager(config, context)
