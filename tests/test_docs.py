"""Everything in README and docs that can be run, run as a reader would: page by page, in an empty folder.

A block whose first line is ``# file: NAME`` is written to that file, for what follows on the page. Every other TOML
block is a stack that ``coda check`` must accept, every other Python block a program that must end well. Of bash blocks,
the lines that begin with ``coda`` are run, ``cd FOLDER``, ``pip install -e .`` (with an extra, too) and
``python -m pytest FILE``. Of console blocks, the ``coda`` commands are run that end by themselves, and must say what
stands below them; ``...`` stands for lines that are left out. Blocks of other languages are not touched.
"""

from __future__ import annotations

import os
import pkgutil
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import attrs
import numpy as np
import pytest
import soundfile

import coda_core
from coda_core.interfaces import KINDS
from tests import cli_help, demo_script, kind_tables, settings_tables

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

ENDLESS = ("serve",)
"""Commands that run until they are stopped."""


@attrs.frozen
class Code:
    language: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        named = re.match(r"# file: (\S+)\n", self.text)
        return named[1] if named else None


def blocks(page: Path) -> list[Code]:
    text = page.read_text()
    found = re.finditer(r"^```(toml|python|bash|console)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [Code(each[1], each[2], text.count("\n", 0, each.start()) + 1) for each in found]


class Reader:
    """Follows one page in a folder of its own."""

    def __init__(self, page: Path, folder: Path) -> None:
        self.page = page
        self.folder = folder
        self.site = folder / ".site"
        path = os.pathsep.join([str(self.site), os.environ.get("PYTHONPATH", "")])
        self.environment = {**os.environ, "PYTHONPATH": path, "CODA_TOKEN": "secret", "CODA_OPERATOR_TOKEN": "s3cret"}

    def follow(self, code: Code) -> None:
        if code.file is not None:
            path = self.folder / code.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code.text)
        elif code.language == "toml":
            path = self.folder / "unnamed.toml"
            path.write_text(code.text)
            self.run(code, "check", str(path))
        elif code.language == "python":
            self.start(code, [sys.executable, "-c", code.text])
        elif code.language == "console":
            for said in re.split(r"^\$ ", code.text, flags=re.MULTILINE)[1:]:
                self.session(code, *said.split("\n", 1))
        else:
            for line in code.text.replace("\\\n", " ").splitlines():
                self.command(code, line)

    def command(self, code: Code, line: str) -> None:
        words = shlex.split(line, comments=True)
        if words[:1] == ["coda"]:
            self.run(code, *words[1:])
        elif words[:1] == ["cd"]:
            self.folder /= words[1]
        elif words[:5] == ["python", "-m", "pip", "install", "-e"] and words[5:] in (["."], [".[test]"]):
            install = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(self.site), "."]
            self.start(code, [sys.executable, "-m", "pip", *install])
        elif words[:3] == ["python", "-m", "pytest"]:
            self.start(code, [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", *words[3:]])

    def session(self, code: Code, line: str, shown: str) -> None:
        """Run a command as it stands after a prompt; it has to say what is shown, and may say more where dots are."""
        words = shlex.split(line, comments=True)
        if words[0] != "coda" or words[1] in ENDLESS:
            return
        ran = self.run(code, *words[1:], expect=2 if "coda: error:" in shown else 0)
        parts = [re.escape(part.strip()) for part in re.split(r"^\.\.\.$", shown, flags=re.MULTILINE)]
        said = re.sub(r"[ \t]+$", "", ran.stdout + ran.stderr, flags=re.MULTILINE)
        place = f"{self.page.name}, the block at line {code.line}"
        assert re.fullmatch(r"\s*" + r"(?s:.*)".join(parts) + r"\s*", said), f"{place}: {line} said\n{said}"

    def run(self, code: Code, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        return self.start(code, [sys.executable, "-m", "coda_core.cli", *arguments], expect)

    def start(self, code: Code, command: list[str], expect: int = 0) -> subprocess.CompletedProcess[str]:
        ran = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        place = f"{self.page.name}, the block at line {code.line}"
        assert ran.returncode == expect, f"{place}: exit {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
        return ran


@each_page
def test_what_a_page_shows_is_true(page: Path, tmp_path: Path) -> None:
    caller = np.sin(np.arange(72_000) * 2 * np.pi * 220 / 24_000).astype(np.float32) * 0.3
    soundfile.write(tmp_path / "caller.wav", caller, 24_000)
    reader = Reader(page, tmp_path)
    for code in blocks(page):
        reader.follow(code)


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)#\s]+)", prose):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


MADE = [
    (settings_tables, settings_tables.with_tables, [settings_tables.PAGE]),
    (cli_help, cli_help.with_help, [cli_help.PAGE]),
    (demo_script, demo_script.with_script, [demo_script.PAGE]),
    (kind_tables, kind_tables.with_tables, kind_tables.PAGES),
]


@pytest.mark.parametrize(
    ("made_by", "renew", "pages"), MADE, ids=["settings", "command line", "demo checkpoint", "kinds"]
)
def test_what_is_made_from_the_code_is_up_to_date(
    made_by: ModuleType, renew: Callable[[str], str], pages: list[Path]
) -> None:
    for page in pages:
        text = page.read_text()
        assert text == renew(text), f"run: python {Path(str(made_by.__file__)).relative_to(ROOT)}"


def test_every_kind_has_a_page() -> None:
    assert {page.stem for page in kind_tables.PAGES} == {"index", *(each.replace("_", "-") for each in KINDS)}


def test_every_public_name_is_in_the_reference() -> None:
    written = "\n".join(page.read_text() for page in PAGES)
    documented = re.findall(r"^::: ([\w.]+)$", written, re.MULTILINE)
    assert len(documented) == len(set(documented)), "each thing is documented in one place"
    shown: set[str] = set()
    for path in documented:
        value = pkgutil.resolve_name(path)
        shown.update(value.__all__ if isinstance(value, ModuleType) else {path.rpartition(".")[2]})
    assert {*coda_core.__all__} - {"__version__"} <= shown
