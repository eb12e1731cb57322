"""Writes a package from the templates of a kind.

A template is a working component called ``example``: names are put in its place, and nothing else is changed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from coda_core.cli.new.naming import Names
from coda_core.errors import CodaError
from coda_core.interfaces import Kind

__all__ = ["write_package"]

_PROTOCOLS: Final[dict[Kind, str]] = {
    "audio_source": "AudioSource",
    "processor": "Processor",
    "monologue_extractor": "MonologueExtractor",
    "streaming_manager": "StreamingManager",
    "state_manager": "StateManager",
    "state_store": "StateStore",
    "transport": "Transport",
}
_ELSEWHERE: Final = {
    "test_component.py": "tests/test_{stem}.py",
    "component.py": "{module}/{stem}.py",
    "__init__.py": "{module}/__init__.py",
    "gitignore": ".gitignore",
    "test.yml": ".github/workflows/test.yml",
}
"""Where a template goes that does not keep its name; other modules go into the package."""


def write_package(into: Path, names: Names, kind: Kind) -> Path:
    """Write the package into a new folder of `into` and return that; raises `CodaError`, and leaves nothing then."""
    folder = into / names.distribution
    if os.path.lexists(folder):
        raise CodaError(f"{folder} exists; give another name, or another place with --into")
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise CodaError(f"{folder} cannot be made: {error.strerror}") from error
    try:
        for place, text in _files(names, kind):
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise CodaError(f"{folder} cannot be written: {error.strerror}") from error
        raise
    return folder


def _files(names: Names, kind: Kind) -> Iterator[tuple[str, str]]:
    """Yield every file of the package: where it goes, and its text."""
    templates = resources.files("coda_core.cli.new") / "templates"
    summary, _, about = (templates / kind / "about.txt").read_text("utf-8").partition("\n")
    version = ".".join(metadata.version("coda-core").split(".")[:2])
    words = {
        "coda_example.example": f"{names.module}.{_stem(names)}",
        "example.py": f"{_stem(names)}.py",
        "test_example": f"test_{_stem(names)}",
        "open_example": f"open_{_stem(names)}",
        "coda_example": names.module,
        "coda-example": names.distribution,
        "example": names.component,
        "Example": names.class_name,
        "SUMMARY": summary,
        "ABOUT": about.strip(),
        "KIND_WORDS": kind.replace("_", " "),
        "PROTOCOL": _PROTOCOLS[kind],
        "coda-core>=0.0": f"coda-core>={version}",
    }
    pattern = re.compile("|".join(map(re.escape, words)))  # the longest first, as they stand above
    for template in (*(templates / "package").iterdir(), *(templates / kind).iterdir()):
        if template.is_file() and template.name != "about.txt":
            text = pattern.sub(lambda found: words[found[0]], template.read_text("utf-8"))
            yield _place(template, names), text
    yield f"{names.module}/py.typed", ""


def _place(template: Traversable, names: Names) -> str:
    elsewhere = _ELSEWHERE.get(template.name)
    if elsewhere is None:
        elsewhere = "{module}/" + template.name if template.name.endswith(".py") else template.name
    return elsewhere.format(module=names.module, stem=_stem(names))


def _stem(names: Names) -> str:
    return names.component.replace("-", "_")
