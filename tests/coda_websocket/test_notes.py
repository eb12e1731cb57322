"""Lines of the log."""

from __future__ import annotations

import logging

import pytest

from coda_websocket.notes import note


def test_a_fact_cannot_write_a_line_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    note(logging.getLogger("coda.test"), "parted", reason='bad\nevent=opened "x"', code=1007, nothing=None)
    assert caplog.messages == [r'event=parted reason="bad\nevent=opened \"x\"" code=1007']
