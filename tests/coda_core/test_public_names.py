from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import coda_core


def test_what_is_exported_is_what_is_named() -> None:
    """The names that a type checker sees, from the modules it sees them in, are those found at run time."""
    source = ast.parse(Path(str(coda_core.__file__)).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(source) if isinstance(node, ast.ImportFrom)]
    homes = {
        alias.name: node.module
        for node in imports
        if node.module is not None and node.module.startswith("coda_core.")
        for alias in node.names
    }
    assert sorted(coda_core.__all__) == sorted([*homes, "__version__"])
    for name, home in homes.items():
        assert getattr(coda_core, name) is getattr(importlib.import_module(home), name)


def test_the_public_names_are_listed_before_they_are_loaded() -> None:
    assert dir(coda_core) == sorted(coda_core.__all__)


def test_a_name_that_is_not_public() -> None:
    with pytest.raises(AttributeError, match=r"^module 'coda_core' has no attribute 'Kernal'$"):
        exec("coda_core.Kernal")
    with pytest.raises(ImportError, match="Problem"):
        exec("from coda_core import Problem")


@pytest.mark.parametrize("module", ["audio", "config", "events", "interfaces", "settings", "subscription", "text"])
def test_every_public_name_of_a_module_exists(module: str) -> None:
    loaded = importlib.import_module(f"coda_core.{module}")
    assert all(hasattr(loaded, name) for name in loaded.__all__)


@pytest.mark.parametrize(
    ("imports", "unneeded"),
    [
        ("import coda_core", {"asyncio", "attrs", "cattrs", "numpy", "pluggy"}),
        ("from coda_core import Component, Requires, hookimpl, setting", {"asyncio", "cattrs", "numpy"}),
        ("from coda_core import Kernel, Stack", {"cattrs", "numpy"}),
    ],
)
def test_importing_the_kernel_loads_nothing_heavy_and_starts_nothing(imports: str, unneeded: set[str]) -> None:
    heavy = {"torch", "moshi", "sounddevice", "soundfile", "soxr", "sentencepiece", "rich", "click", "sqlite3"}
    program = f"""
import sys, threading
{imports}
print(sorted({heavy | unneeded} & set(sys.modules)), threading.active_count())
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[] 1"
