from __future__ import annotations

import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from coda_audio.ring import Ring

CAPACITY = 16


@given(st.lists(st.tuples(st.sampled_from(["write", "read", "keep"]), st.integers(0, 20)), max_size=60))
def test_behaves_as_a_bounded_queue(moves: list[tuple[str, int]]) -> None:
    ring = Ring(CAPACITY)
    waiting: list[float] = []
    given_up = 0
    """Skipped samples that the reader has not passed yet: they still take room."""
    told = False
    following = 0.0
    for move, count in moves:
        if move == "write":
            samples = np.arange(following, following + count, dtype=np.float32)
            taken = ring.write(samples)
            assert taken == min(count, CAPACITY - len(waiting) - given_up)
            waiting += samples[:taken].tolist()
            following += count
        elif move == "read":
            into = np.full(count, -1, np.float32)
            got, skipped = ring.read(into)
            assert into[:got].tolist() == waiting[:count]
            assert (into[got:] == -1).all()
            assert skipped == told
            waiting, given_up, told = waiting[got:], 0, False
        else:
            lost = ring.keep_newest(count)
            assert lost == max(0, len(waiting) - count)
            waiting = waiting[lost:]
            given_up += lost
            told = told or lost > 0
        assert ring.filled == len(waiting)


def test_a_reader_on_another_thread_gets_everything_in_order() -> None:
    ring = Ring(1_000)
    total = 40_000
    got: list[np.ndarray] = []  # type: ignore[type-arg]

    def read() -> None:
        into = np.empty(777, np.float32)
        done = 0
        while done < total:
            count, _ = ring.read(into)
            got.append(into[:count].copy())
            done += count

    reader = threading.Thread(target=read)
    reader.start()
    everything = np.arange(total, dtype=np.float32)
    written = 0
    while written < total:
        written += ring.write(everything[written : written + 480])
    reader.join()
    assert np.array_equal(np.concatenate(got), everything)
