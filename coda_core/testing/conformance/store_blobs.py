"""The suite of state stores: bytes under a name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from coda_core.errors import StoreError
from coda_core.testing.conformance.store_suite import StoreSuite, talk

__all__ = ["BlobChecks"]


class BlobChecks(StoreSuite):
    """A blob comes back whole, or is not there."""

    def test_a_blob_comes_back_equal(self, store: Any) -> None:
        for chunks in (
            [],
            [b""],
            [b"one"],
            [b"one", b"", b"two"],
            [bytes(range(256))],
            [bytes(2**20)] * 3,
            [b"ab" * 700_000, b"c" * 2_000_000],
        ):
            store.put_blob("a", "state", iter(chunks))
            assert b"".join(store.get_blob("a", "state")) == b"".join(chunks)

    def test_blobs_are_told_apart_by_conversation_and_name(self, store: Any) -> None:
        names = [(conversation, name) for conversation in "ab" for name in ("state", "snapshot", "")]
        for conversation, name in names:
            store.put_blob(conversation, name, [f"{conversation}/{name}".encode()])
        for conversation, name in names:
            assert b"".join(store.get_blob(conversation, name)) == f"{conversation}/{name}".encode()

    def test_a_blob_replaces_the_one_before(self, store: Any) -> None:
        store.put_blob("a", "state", [bytes(3_000_000)])
        store.put_blob("a", "state", [b"short"])
        assert b"".join(store.get_blob("a", "state")) == b"short"

    def test_a_blob_is_stored_whole_or_not_at_all(self, store: Any) -> None:
        def broken() -> Iterator[bytes]:
            yield b"new" * 500_000
            raise OSError("the source is gone")

        store.put_blob("a", "state", [b"old"])
        with pytest.raises(OSError, match="the source is gone"):
            store.put_blob("a", "state", broken())
        with pytest.raises(OSError, match="the source is gone"):
            store.put_blob("a", "other", broken())
        assert b"".join(store.get_blob("a", "state")) == b"old"
        assert not store.has_blob("a", "other")
        store.append(talk("b"))
        assert list(store.events("b")) == talk("b")

    def test_a_blob_may_be_made_of_a_stored_one(self, store: Any) -> None:
        content = bytes(range(256)) * 10_000
        store.put_blob("a", "state", [content])
        store.put_blob("b", "copy", store.get_blob("a", "state"))
        assert b"".join(store.get_blob("b", "copy")) == content

    def test_a_missing_blob_is_named(self, store: Any) -> None:
        store.put_blob("a", "state", [b""])
        for conversation, name in (("a", "snapshot"), ("b", "state")):
            with pytest.raises(StoreError, match=f"conversation {conversation} .*'{name}'"):
                store.get_blob(conversation, name)

    def test_a_blob_makes_no_conversation(self, store: Any) -> None:
        store.put_blob("a", "state", [b"x"])
        assert list(store.find()) == []

    def test_a_blob_is_there_until_it_is_dropped(self, store: Any) -> None:
        store.delete_blob("a", "state")
        assert not store.has_blob("a", "state")
        store.put_blob("a", "state", [b"x"])
        store.put_blob("a", "other", [b"y"])
        assert store.has_blob("a", "state")
        store.delete_blob("a", "state")
        assert [store.has_blob("a", name) for name in ("state", "other")] == [False, True]
