"""Files that are written whole or not at all, and their errors in words."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from coda_core import StoreError


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn what the operating system refuses into a `StoreError` that says what could not be done."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"could not {what}: {error.strerror or error}") from error


def replaced(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file in place of the one of that name; durable when this returns. Raises what `chunks` raises."""
    beside = path.with_name(path.name + ".new")
    try:
        with beside.open("wb") as file:
            for chunk in chunks:
                with writing(f"write {path}"):
                    file.write(chunk)
            with writing(f"write {path}"):
                file.flush()
                os.fsync(file.fileno())
        with writing(f"write {path}"):
            beside.replace(path)
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    finally:
        beside.unlink(missing_ok=True)
