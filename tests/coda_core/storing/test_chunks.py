"""Cutting bytes into pieces of one length."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coda_core.storing.chunks import recut


@given(st.lists(st.binary(max_size=20)), st.integers(1, 12))
def test_nothing_is_lost_and_all_pieces_but_the_last_are_full(chunks: list[bytes], length: int) -> None:
    whole = b"".join(chunks)
    assert list(recut(chunks, length)) == [whole[at : at + length] for at in range(0, len(whole), length)]
