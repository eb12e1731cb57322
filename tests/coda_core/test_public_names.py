from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import coda_core


def test_what_is_exported_is_what_is_named() -> None:
    public = {name for name in vars(coda_core) if not name.startswith("_")}
    modules = {name for name in public if type(vars(coda_core)[name]) is type(sys)}
    assert public - modules | {"__version__"} == set(coda_core.__all__)


@pytest.mark.parametrize("module", ["audio", "config", "events", "interfaces", "settings", "subscription", "text"])
def test_every_public_name_of_a_module_exists(module: str) -> None:
    loaded = importlib.import_module(f"coda_core.{module}")
    assert all(hasattr(loaded, name) for name in loaded.__all__)


def test_importing_the_kernel_loads_nothing_heavy_and_starts_nothing() -> None:
    program = """
import sys, threading
import coda_core
heavy = {"torch", "moshi", "sounddevice", "soundfile", "soxr", "sentencepiece", "rich", "click", "sqlite3"}
print(sorted(heavy & set(sys.modules)), threading.active_count())
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[] 1"
