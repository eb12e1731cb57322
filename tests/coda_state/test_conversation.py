"""The state manager `conversation`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import attrs
import numpy as np
import pytest

from coda_core.errors import StoreError
from coda_core.events import Event
from coda_core.interfaces import Context, ProcessorInfo, StateManager, StateStore, StepRecord
from coda_core.text import Vocabulary
from coda_state.config import ConversationManagerConfig, MemoryStoreConfig
from coda_state.conversation import open_conversation_manager
from coda_state.memory import open_memory_store

T = TypeVar("T")
Talk = Callable[..., list[Event]]
Enter = Callable[[AbstractAsyncContextManager[T]], T]

INFO = ProcessorInfo(
    slots=1,
    delay_frames=0,
    vocabulary=Vocabulary(pieces=(), word_starts=frozenset(), padding=3, end_of_padding=0),
    fingerprint="test",
)


@pytest.fixture
def store(enter: Enter[StateStore], context: Context) -> StateStore:
    return enter(open_memory_store(MemoryStoreConfig(), context))


@pytest.fixture
def manager(enter: Enter[StateManager], context: Context, store: StateStore) -> StateManager:
    return enter(open_conversation_manager(ConversationManagerConfig(), attrs.evolve(context, store=store)))


def test_events_of_every_kind_are_stored(manager: StateManager, store: StateStore, talk: Talk) -> None:
    told = talk("a", ["one", "two"])
    manager.record(told)
    assert list(store.events("a")) == told


def test_steps_and_the_end_of_a_conversation_say_nothing_new(manager: StateManager, store: StateStore) -> None:
    silence = np.zeros(1920, np.float32)
    record = StepRecord(
        conversation="a",
        frame=0,
        heard=silence,
        spoken=silence,
        heard_dbfs=-120.0,
        spoken_dbfs=-120.0,
        caller_speaking=False,
        moshi_speaking=False,
        token=3,
        probability=1.0,
        lateness_s=0.0,
    )
    manager.open("a", INFO)
    assert list(manager.feed([record])) == []
    assert list(manager.close("a")) == []
    assert list(store.find()) == []


def test_without_a_store_it_is_refused(enter: Enter[StateManager], context: Context) -> None:
    with pytest.raises(StoreError, match="was given no state store"):
        enter(open_conversation_manager(ConversationManagerConfig(), context))
