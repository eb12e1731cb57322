"""The stores `sqlite` and `memory` do what every state store must.

CODA_TEST_KILLS=1000 sets how often a process with the sqlite store is killed.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import coda_state.register
from coda_core.testing.conformance import StateStoreConformance

SQLITE, MEMORY = coda_state.register.coda_register_state_stores()


class TestSqlite(StateStoreConformance):
    component = SQLITE
    kills: ClassVar = int(os.environ.get("CODA_TEST_KILLS", "20"))

    def test_what_was_acknowledged_outlives_a_kill(self, tmp_path: Path, start: Any) -> None:
        super().test_what_was_acknowledged_outlives_a_kill(tmp_path, start)
        with closing(sqlite3.connect(tmp_path / "conversations.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert [file.name for file in tmp_path.iterdir()] == ["conversations.db"]


class TestMemory(StateStoreConformance):
    component = MEMORY
    durable: ClassVar = False
