"""The bound of the memory store. What every store does is in ``test_store_contract.py``."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from coda_core.errors import StoreError
from coda_core.events import Closed, Event, Opened
from coda_state.memory import MemoryStore

Talk = Callable[..., list[Event]]


def store_of(conversations: int) -> MemoryStore:
    return MemoryStore(conversations, logging.getLogger("coda.test.memory"))


def names(store: MemoryStore) -> set[str]:
    return {row.conversation for row in store.find()}


def test_above_the_limit_those_that_closed_first_are_dropped(talk: Talk) -> None:
    store = store_of(2)
    for at, name in enumerate("abcd"):
        store.append(talk(name, time_s=at))
    assert names(store) == {"c", "d"}
    assert store.dropped == 2
    assert list(store.events("a")) == []


def test_the_order_of_closing_counts_not_that_of_opening() -> None:
    store = store_of(2)
    store.append([Opened(conversation="a", sequence=1), Opened(conversation="b", sequence=1)])
    store.append([Closed(conversation="b", sequence=2)])
    store.append([Closed(conversation="a", sequence=2)])
    store.append([Opened(conversation="c", sequence=1)])
    assert names(store) == {"a", "c"}


def test_a_live_conversation_is_never_dropped(talk: Talk) -> None:
    store = store_of(1)
    store.append([Opened(conversation=name, sequence=1) for name in "abc"])
    assert names(store) == {"a", "b", "c"}
    store.append(talk("d"))
    assert names(store) == {"a", "b", "c"}
    store.append([Closed(conversation="b", sequence=2)])
    assert names(store) == {"a", "c"}
    assert store.dropped == 2


def test_blobs_go_with_their_conversation(talk: Talk) -> None:
    store = store_of(1)
    store.append(talk("a"))
    store.put_blob("a", "state", [b"x"])
    store.append(talk("b"))
    with pytest.raises(StoreError):
        store.get_blob("a", "state")


def test_what_is_dropped_is_logged(talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    store = store_of(1)
    with caplog.at_level(logging.INFO, "coda.test.memory"):
        store.append(talk("a"))
        store.append(talk("b"))
    assert caplog.messages == ["dropped conversation a, the first of those that are closed, to keep 1"]


def test_a_deleted_conversation_does_not_count_as_dropped(talk: Talk) -> None:
    store = store_of(1)
    store.append(talk("a"))
    store.delete("a")
    store.append(talk("b"))
    assert names(store) == {"b"}
    assert store.dropped == 0


def test_what_was_appended_stays_as_it_was_when_its_writer_goes_on_with_it() -> None:
    store, metadata = store_of(1), {"who": "ada"}
    store.append([Opened(conversation="a", sequence=1, metadata=metadata)])
    metadata["who"] = "bob"
    [opened] = store.events("a")
    assert isinstance(opened, Opened)
    assert opened.metadata == {"who": "ada"}
