from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from coda_core.errors import StoreError
from coda_core.interfaces import ParkedState, SlotOptions
from coda_core.parking import CHUNK_BYTES, from_chunks, read_parked, to_chunks, write_parked

TYPES = (np.bool_, np.int8, np.uint8, np.uint16, np.int64, np.uint64, np.float16, np.float32, np.float64)
ARRAYS = st.builds(
    lambda kind, shape, first: (np.arange(int(np.prod(shape))) + first).astype(kind).reshape(shape),
    st.sampled_from(TYPES),
    st.lists(st.integers(0, 4), max_size=3).map(tuple),
    st.integers(0, 99),
)
STATES = st.builds(
    ParkedState,
    conversation=st.text(max_size=8),
    frame=st.integers(0, 2**40),
    fingerprint=st.text(max_size=8),
    options=st.builds(SlotOptions, seed=st.integers(0, 2**63), prompt=st.none() | st.text(max_size=9)),
    slot=st.dictionaries(st.text(max_size=6), ARRAYS, max_size=4),
    lane=st.binary(max_size=20),
    followers=st.dictionaries(st.text(max_size=6), st.binary(max_size=9), max_size=3),
)


def state(**changes: Any) -> ParkedState:
    whole = ParkedState(
        conversation="ada",
        frame=17,
        fingerprint="tiny",
        options=SlotOptions(seed=3, text_temperature=0.7, prompt="Whisper."),
        slot={"ring": np.arange(24, dtype=np.float32).reshape(2, 3, 4), "steps": np.array(17)},
        lane=b"lane",
        followers={"state": b"", "inner-monologue": b"words"},
    )
    return attrs.evolve(whole, **changes)


def assert_equal(one: ParkedState, other: ParkedState) -> None:
    for name in ("conversation", "frame", "fingerprint", "options", "lane", "followers"):
        assert getattr(one, name) == getattr(other, name)
    assert list(one.slot) == list(other.slot)
    for name, array in one.slot.items():
        assert array.dtype == other.slot[name].dtype
        assert array.shape == other.slot[name].shape
        assert array.tobytes() == other.slot[name].tobytes()


@settings(deadline=None)
@given(STATES, st.integers(1, 64))
def test_it_comes_back_as_it_was_however_the_bytes_are_cut(parked: ParkedState, piece: int) -> None:
    data = b"".join(to_chunks(parked))
    assert_equal(from_chunks(data[at : at + piece] for at in range(0, len(data), piece)), parked)


def test_large_arrays_go_by_in_pieces() -> None:
    parked = state(slot={"ring": np.arange(3 * CHUNK_BYTES // 8 + 1)})
    pieces = list(to_chunks(parked))
    assert max(map(len, pieces)) == CHUNK_BYTES
    assert_equal(from_chunks(pieces), parked)
    assert parked.size_bytes == 3 * CHUNK_BYTES + 8 + 4 + 5


def test_any_safetensors_reader_opens_it(tmp_path: Path) -> None:
    path = tmp_path / "ada.safetensors"
    write_parked(path, state())
    tensors = safetensors.numpy.load_file(path)
    np.testing.assert_array_equal(tensors["slot/ring"], state().slot["ring"])
    assert tensors["follower/inner-monologue"].tobytes() == b"words"
    with safetensors.safe_open(path, "np") as file:  # type: ignore[no-untyped-call]
        metadata = file.metadata()
    assert (metadata["format"], metadata["version"], metadata["frame"]) == ("coda-parked", "1", "17")
    assert metadata["fingerprint"] == "tiny"


def test_strided_arrays_are_stored_as_they_look() -> None:
    parked = state(slot={"turned": np.arange(6).reshape(2, 3).T, "reversed": np.arange(4)[::-1]})
    assert_equal(from_chunks(to_chunks(parked)), parked)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_changed_byte_is_noticed(data: st.DataObject) -> None:
    whole = bytearray(b"".join(to_chunks(state())))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(StoreError, match="cannot be read: "):
        from_chunks([bytes(whole)])


@settings(deadline=None)
@given(st.data())
def test_anything_missing_or_added_is_noticed(data: st.DataObject) -> None:
    whole = b"".join(to_chunks(state()))
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    for bad in (cut, whole + data.draw(st.binary(min_size=1, max_size=9))):
        with pytest.raises(StoreError, match=r"no parked conversation|cut short"):
            from_chunks([bad], "ada's state")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_what_is_something_else_is_refused(data: bytes) -> None:
    with pytest.raises(StoreError, match=r"^this cannot be read: this is no parked conversation"):
        from_chunks([data], "this")


def test_a_later_version_is_named() -> None:
    import hashlib

    whole = b"".join(to_chunks(state()))
    begin = whole.index(b'"sha256":"') + 10
    later = whole.replace(b'"version":"1"', b'"version":"9"').replace(whole[begin : begin + 64], b"0" * 64)
    later = later.replace(b"0" * 64, hashlib.sha256(later).hexdigest().encode(), 1)
    with pytest.raises(StoreError, match=r"written by a later version of Coda, in format 9; this one reads up to 1"):
        from_chunks([later])


def test_a_dtype_without_a_name_in_a_file_is_a_defect() -> None:
    with pytest.raises(TypeError, match="slot/odd has dtype complex128"):
        list(to_chunks(state(slot={"odd": np.zeros(1, np.complex128)})))


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "ada.safetensors"
    write_parked(path, state())
    with pytest.raises(TypeError):
        write_parked(path, state(frame=18, slot={"odd": np.zeros(1, np.complex128)}))
    assert read_parked(path).frame == 17
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(StoreError, match=r"could not be written: No such file"):
        write_parked(tmp_path / "nowhere" / "ada", state())
    with pytest.raises(StoreError, match=r"could not be read: No such file"):
        read_parked(tmp_path / "nobody")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StoreError, match=r"ada.safetensors cannot be read: it is cut short"):
        read_parked(path)
