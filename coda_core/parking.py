"""A parked conversation as bytes: one safetensors file that any safetensors reader opens.

The tensors are the slot's arrays as ``slot/NAME`` and, as bytes, ``lane`` and ``follower/LABEL``; everything else
is text in the file's metadata. A SHA-256 over the whole file, its own digits taken as zeros, tells whether a byte has
changed. The library's own API makes the whole file in memory beside the tensors, which a ring of a
gigabyte does not allow: here it goes by in pieces.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from coda_core.errors import StoreError
from coda_core.interfaces import ParkedState, SlotOptions

__all__ = ["FORMAT_VERSION", "from_chunks", "read_parked", "to_chunks", "write_parked"]

FORMAT_VERSION: Final = 1
CHUNK_BYTES: Final = 1 << 20

_DTYPES: Final[Mapping[str, str]] = {
    "BOOL": "|b1",
    "U8": "|u1",
    "I8": "|i1",
    "U16": "<u2",
    "I16": "<i2",
    "F16": "<f2",
    "U32": "<u4",
    "I32": "<i4",
    "F32": "<f4",
    "U64": "<u8",
    "I64": "<i8",
    "F64": "<f8",
}
_NAMES: Final = {np.dtype(code): name for name, code in _DTYPES.items()}
_NO_DIGEST: Final = b"0" * 64
_BEGINNING: Final = b'{"__metadata__":{"sha256":"'
"""Of every header: so that the digest can be found before anything is believed."""


def to_chunks(parked: ParkedState) -> Iterator[bytes]:
    """Yield a parked conversation as the bytes of a file, in pieces of a megabyte at most.

    Raises TypeError for an array whose dtype a file cannot hold: numbers and booleans are what there is.
    """
    arrays = [(name, np.asarray(array, order="C")) for name, array in _tensors(parked)]
    header = _header(parked, arrays)
    digest = hashlib.sha256(header)
    for _, array in arrays:
        digest.update(_flat(array))
    yield header.replace(_NO_DIGEST, digest.hexdigest().encode(), 1)
    for _, array in arrays:
        data = _flat(array)
        for start in range(0, len(data), CHUNK_BYTES):
            yield bytes(data[start : start + CHUNK_BYTES])


def from_chunks(chunks: Iterable[bytes], what: str = "the parked conversation") -> ParkedState:
    """Return what `to_chunks` was given; the pieces may be cut anywhere.

    Raises `StoreError`, which begins with `what`, where the bytes are no such file, are damaged, or were written
    by a later version.
    """
    data = bytearray()
    for chunk in chunks:
        data += chunk
    try:
        return _read(data)
    except _Unreadable as error:
        raise StoreError(f"{what} cannot be read: {error}") from None


def write_parked(path: Path, parked: ParkedState) -> None:
    """Write a parked conversation to a file, whole or not at all; durable when this returns. Raises `StoreError`."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            for chunk in to_chunks(parked):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StoreError(f"{path} could not be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def read_parked(path: Path) -> ParkedState:
    """Return what `write_parked` wrote. Raises `StoreError`, as `from_chunks` does."""
    try:
        with path.open("rb") as file:
            return from_chunks(iter(lambda: file.read(CHUNK_BYTES), b""), str(path))
    except OSError as error:
        raise StoreError(f"{path} could not be read: {error.strerror or error}") from error


class _Unreadable(Exception):
    """Says why, for the end of a sentence."""


def _tensors(parked: ParkedState) -> Iterator[tuple[str, NDArray[Any]]]:
    for name, array in parked.slot.items():
        yield f"slot/{name}", array
    yield "lane", np.frombuffer(parked.lane, np.uint8)
    for label, data in parked.followers.items():
        yield f"follower/{label}", np.frombuffer(data, np.uint8)


def _header(parked: ParkedState, arrays: Iterable[tuple[str, NDArray[Any]]]) -> bytes:
    """Return the header behind its length, with zeros for the digest, which comes before anything else in it."""
    header: dict[str, Any] = {
        "__metadata__": {
            "sha256": _NO_DIGEST.decode(),
            "format": "coda-parked",
            "version": str(FORMAT_VERSION),
            "conversation": parked.conversation,
            "frame": str(parked.frame),
            "fingerprint": parked.fingerprint,
            "options": json.dumps(attrs.asdict(parked.options)),
        }
    }
    end = 0
    for name, array in arrays:
        start, end = end, end + array.nbytes
        dtype = _NAMES.get(array.dtype)
        if dtype is None:
            raise TypeError(f"{name} has dtype {array.dtype}, which a parked conversation cannot hold")
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _flat(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _read(data: bytearray) -> ParkedState:
    length = struct.unpack_from("<Q", data)[0] if len(data) >= 8 else 0
    text, body = bytes(data[8 : 8 + length]), memoryview(data)[8 + length :]
    if not text.startswith(_BEGINNING):
        raise _Unreadable("this is no parked conversation, or its beginning is damaged")
    written = text[len(_BEGINNING) : len(_BEGINNING) + len(_NO_DIGEST)]
    digest = hashlib.sha256(data[:8])
    digest.update(text.replace(written, _NO_DIGEST, 1))
    digest.update(body)
    if digest.hexdigest().encode() != written:
        raise _Unreadable("it is cut short, or its bytes have changed since it was written (SHA-256 differs)")
    header = json.loads(text)
    metadata = header.pop("__metadata__")
    if int(metadata["version"]) > FORMAT_VERSION:
        raise _Unreadable(
            f"it was written by a later version of Coda, in format {metadata['version']}; "
            f"this one reads up to {FORMAT_VERSION}"
        )
    arrays = {name: _array(entry, body) for name, entry in header.items()}
    return ParkedState(
        conversation=metadata["conversation"],
        frame=int(metadata["frame"]),
        fingerprint=metadata["fingerprint"],
        options=SlotOptions(**json.loads(metadata["options"])),
        slot=_below("slot/", arrays),
        lane=arrays["lane"].tobytes(),
        followers={label: array.tobytes() for label, array in _below("follower/", arrays).items()},
    )


def _array(entry: Mapping[str, Any], body: memoryview) -> NDArray[Any]:
    start, end = entry["data_offsets"]
    dtype, shape = np.dtype(_DTYPES[entry["dtype"]]), tuple(entry["shape"])
    # A copy: arrays of a file need not lie where their dtype may, and one that is kept must not keep all others.
    return np.frombuffer(body[start:end], np.uint8).copy().view(dtype).reshape(shape)


def _below(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
