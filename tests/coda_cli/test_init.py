from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coda_core.cli.init import template

Run = Callable[..., Any]


def test_writes_a_stack(run: Run, here: Path) -> None:
    told = run("init")
    assert (told.code, told.out) == (0, "wrote stack.toml; next: coda check stack.toml\n")
    assert (here / "stack.toml").read_text() == template("file")


def test_writes_the_named_template_where_it_is_asked_to(run: Run, here: Path) -> None:
    assert run("init", "--template", "server", "mine.toml").code == 0
    assert tomllib.loads((here / "mine.toml").read_text())["stack"]["name"] == "server"
    assert [each.name for each in here.iterdir()] == ["mine.toml"]


def test_leaves_a_file_alone_unless_forced(run: Run, here: Path) -> None:
    (here / "stack.toml").write_text("# mine")
    told = run("init")
    assert told.code == 2
    assert told.err == "coda: error: stack.toml exists; give another name, or --force to replace it\n"
    assert (here / "stack.toml").read_text() == "# mine"
    assert run("init", "--force").code == 0
    assert (here / "stack.toml").read_text() == template("file")


@pytest.mark.parametrize(("path", "said"), [("folder", "is a folder"), ("missing/stack.toml", "cannot be written")])
def test_place_that_cannot_be_written(run: Run, here: Path, path: str, said: str) -> None:
    (here / "folder").mkdir()
    told = run("init", path)
    assert told.code == 2
    assert said in told.err
    assert [each.name for each in here.iterdir()] == ["folder"]
