from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from coda_moshi.stage_times import StageTimes


def test_stages_follow_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    moments: Iterator[float] = iter([10.0, 11.0, 13.0, 20.0, 20.5, 20.75])
    monkeypatch.setattr("time.perf_counter", lambda: next(moments))
    times = StageTimes(("a", "b"), torch.device("cpu"))
    times.start()
    times.mark()
    times.mark()
    assert times.seconds() == {"a": 1.0, "b": 2.0}
    times.start()
    times.mark()
    times.mark()
    assert times.seconds() == {"a": 0.5, "b": 0.25}
