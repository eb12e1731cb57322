from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coda_core.memory import Elastic, MemoryPart, MemoryPlan, MemoryUse, parse_size, size_words

PLAN = MemoryPlan(
    subject="a model",
    parts=(
        MemoryPart(name="one", kind="weights", size_bytes=100),
        MemoryPart(name="two", kind="weights", size_bytes=50),
        MemoryPart(name="tables", kind="fixed", size_bytes=20),
        MemoryPart(name="rings", kind="conversation", size_bytes=40),
        MemoryPart(name="work", kind="conversation", size_bytes=10, estimated=True),
    ),
    conversations=3,
    elastic=Elastic(setting="context", value=10, minimum=2, step_bytes=4),
)


@pytest.mark.parametrize(
    ("text", "size"),
    [("8GB", 8 * 10**9), ("7.5GiB", 15 * 2**29), ("500 MB", 5 * 10**8), ("1MiB", 2**20), ("0GB", 0)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "8", "8gb", "60%", "-1GB", "1e9", "GB", "8GB "])
def test_what_is_no_size(text: str) -> None:
    assert parse_size(text) is None


def test_sizes_in_words() -> None:
    assert [size_words(size) for size in (15_760_000_000, 123_400_000, 3_200_000, 270)] == [
        "15.76 GB",
        "0.12 GB",
        "3.20 MB",
        "0.27 kB",
    ]


def test_a_plan_adds_up() -> None:
    assert (PLAN.weights_bytes, PLAN.fixed_bytes, PLAN.bytes_per_conversation) == (150, 20, 50)
    assert [PLAN.needed_bytes(count) for count in (0, 1, 3)] == [170, 220, 320]
    assert [PLAN.fitting(budget) for budget in (0, 219, 220, 319, 320)] == [0, 0, 1, 2, 3]


def test_loading_takes_the_place_of_conversations() -> None:
    plan = attrs.evolve(PLAN, loading_bytes=120)
    assert [plan.needed_bytes(count) for count in (0, 2, 3)] == [290, 290, 320]
    assert [plan.fitting(budget) for budget in (289, 290, 320)] == [0, 2, 3]


def test_a_shorter_setting_makes_room() -> None:
    assert PLAN.largest_elastic(3, 320) == 10
    assert PLAN.largest_elastic(3, 319) == 9
    assert PLAN.largest_elastic(3, 320 - 3 * 4 * 8) == 2
    assert PLAN.largest_elastic(3, 320 - 3 * 4 * 8 - 1) is None
    assert PLAN.largest_elastic(3, 169) is None
    assert attrs.evolve(PLAN, elastic=None).largest_elastic(3, 319) is None


@given(st.integers(0, 10_000), st.integers(0, 500))
def test_what_fits_fits_and_one_more_does_not(budget: int, loading: int) -> None:
    plan = attrs.evolve(PLAN, loading_bytes=loading)
    count = plan.fitting(budget)
    assert count == 0 or plan.needed_bytes(count) <= budget
    assert plan.needed_bytes(count + 1) > budget


def test_use_is_said_with_figures() -> None:
    use = MemoryUse(used_bytes=19 * 10**8, limit_bytes=2 * 10**9, pressing=True, where="that vram_allocation allows")
    assert str(use) == "1.90 GB of the 2.00 GB that vram_allocation allows are in use"
