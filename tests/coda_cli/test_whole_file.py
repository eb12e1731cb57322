from __future__ import annotations

from pathlib import Path

import pytest

from coda_core.cli.whole_file import write_whole
from coda_core.errors import CodaError


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "text"
    write_whole(path, "one")
    write_whole(path, "zwei: ü")
    assert path.read_text("utf-8") == "zwei: ü"
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_there_stays_where_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "text"
    write_whole(path, "one")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "half \ud800")
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CodaError, match="cannot be written: No such file or directory"):
        write_whole(tmp_path / "missing" / "text", "one")
