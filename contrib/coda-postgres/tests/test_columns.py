"""Texts as columns have them."""

from __future__ import annotations

import itertools

from coda_core import Opened

from coda_postgres.columns import from_column, to_column
from coda_postgres.config import PostgresStoreConfig
from coda_postgres.store import PostgresStore


def test_every_text_comes_back_and_none_has_a_zero() -> None:
    texts = ["".join(signs) for length in range(6) for signs in itertools.product("\0\\0a", repeat=length)]
    columns = [to_column(text) for text in texts]
    assert [from_column(column) for column in columns] == texts
    assert len(set(columns)) == len(set(texts))
    assert not any("\0" in column for column in columns)


def test_users_are_found_by_any_name(config: PostgresStoreConfig, opened: object) -> None:
    assert callable(opened)
    store: PostgresStore = opened(config)
    names = ["a\0b", "a\\0b", "ä", "'; DROP TABLE events; --"]
    store.append([Opened(conversation=f"c{at}", sequence=1, user_id=name) for at, name in enumerate(names)])
    for at, name in enumerate(names):
        assert [(row.conversation, row.user_id) for row in store.find(user_id=name)] == [(f"c{at}", name)]
