from __future__ import annotations

import numpy as np
import pytest

from coda_streaming.histogram import Histogram, HistogramBank


def test_percentiles_are_those_of_the_values_to_a_bucket() -> None:
    values = np.random.default_rng(0).lognormal(-4, 1, 20_000)
    one, all_at_once = Histogram(), Histogram()
    for count, value in enumerate(values[:2_000]):
        assert one.distribution().count == count
        one.add(value)
    all_at_once.add_all(values[:2_000])
    assert one.distribution().p99 == all_at_once.distribution().p99
    assert one.distribution().maximum == all_at_once.distribution().maximum
    found = all_at_once.distribution()
    for name, percent in (("p50", 50), ("p95", 95), ("p99", 99)):
        assert getattr(found, name) == pytest.approx(np.percentile(values[:2_000], percent), rel=0.05)
    assert found.maximum == values[:2_000].max()
    assert found.mean == pytest.approx(values[:2_000].mean())


def test_nothing_is_zero() -> None:
    assert Histogram().distribution().count == 0


def test_a_shift_moves_everything() -> None:
    histogram = Histogram()
    histogram.add(0.05)
    shifted = histogram.distribution(minus_s=0.08)
    assert shifted.maximum == pytest.approx(-0.03)
    assert shifted.p50 == pytest.approx(-0.03, abs=0.002)


def test_rows_are_apart_and_can_be_cleared() -> None:
    bank = HistogramBank(3)
    bank.add(np.array([0, 2]), np.array([0.01, 0.02]))
    assert [bank.distribution(row).count for row in range(3)] == [1, 0, 1]
    bank.clear(0)
    assert bank.distribution(0).count == 0
    assert bank.distribution(2).maximum == 0.02


def test_values_outside_the_range_are_kept_at_its_ends() -> None:
    histogram = Histogram()
    histogram.add(0.0)
    histogram.add(5_000.0)
    assert histogram.distribution().count == 2
    assert histogram.distribution().maximum == 5_000.0
