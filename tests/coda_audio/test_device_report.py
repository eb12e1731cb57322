from __future__ import annotations

from typing import Any

import pytest

from coda_audio.device_report import DeviceReport
from coda_core.events import Event
from coda_core.interfaces import Context
from coda_core.sound import DeviceMeasured
from coda_core.testing import ManualClock


def measured(**of: Any) -> DeviceMeasured:
    return DeviceMeasured(**{"direction": "output", "device": "Ear", "connected": True, "latency_s": 0.1, **of})


def test_everything_is_reported_and_news_are_logged_now_and_then(
    context: Context, clock: ManualClock, reported: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    report = DeviceReport("speaker", context)
    for xruns in range(100):
        report(measured(xruns=xruns))
        clock.advance(1.0)
    assert len(reported) == 100
    assert len(caplog.messages) == 10
    assert caplog.messages[0] == (
        "the speaker Ear so far: 1 xruns, 0 underruns, 0.00 s thrown away to catch up; "
        "a larger latency_ms helps against xruns"
    )
    clock.advance(100.0)
    caplog.clear()
    report(measured(xruns=99))
    report(measured(xruns=99), last=True)
    assert len(caplog.messages) == 1
    report(measured(xruns=99, dropped_s=0.5), last=True)
    caplog.clear()
    report(measured(xruns=0, underruns=100, dropped_s=0.5), last=True)
    assert caplog.messages == ["the speaker Ear so far: 0 xruns, 100 underruns, 0.50 s thrown away to catch up"]


def test_glitches_are_what_can_be_heard() -> None:
    assert measured(xruns=2, underruns=3, dropped_s=0.5, losses=4).glitches == 6
    assert measured(xruns=0).glitches == 0
