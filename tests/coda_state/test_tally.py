"""Whole numbers counted by value."""

from __future__ import annotations

import random
import statistics

import pytest

from coda_core.state import Spread
from coda_state.tally import Tally


def test_nothing_counted() -> None:
    assert Tally(0, 9).spread() == Spread()


@pytest.mark.parametrize("seed", range(5))
def test_it_says_what_statistics_says(seed: int) -> None:
    draw = random.Random(seed)
    numbers = [draw.randint(-5, 30) for _ in range(draw.randint(1, 99))]
    tally = Tally(-5, 30)
    for number in numbers:
        tally.add(number)
    spread = tally.spread(0.5)
    assert spread.count == len(numbers)
    assert spread.mean == pytest.approx(statistics.fmean(numbers) / 2)
    assert spread.deviation == pytest.approx(statistics.pstdev(numbers) / 2)
    assert spread.maximum == max(numbers) / 2
    assert spread.p50 == statistics.median_low(numbers) / 2
    assert sum(number <= spread.p95 * 2 for number in numbers) >= 0.95 * len(numbers)


def test_what_lies_outside_counts_as_the_nearest() -> None:
    tally = Tally(0, 3)
    for number in (-9, 9):
        tally.add(number)
    assert tally.counts == {0: 1, 3: 1}
