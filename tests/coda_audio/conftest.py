"""What the tests of `coda_audio` share."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from coda_core.interfaces import Context
from coda_core.testing import ManualClock


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(
        base_dir=tmp_path,
        cache_dir=tmp_path / "cache",
        clock=ManualClock(),
        logger=logging.getLogger("coda.test"),
        progress=lambda what, done, total: None,
    )
