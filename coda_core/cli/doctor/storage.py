"""Cache folders and disk space."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from coda_core.cli.doctor.finding import Finding
from coda_core.paths import cache_dir

__all__ = ["storage"]

_SMALL: Final = 10**9
_DOWNLOAD: Final = 20 * 10**9
"""A released checkpoint in bfloat16 with its codec, and some room."""


def storage() -> Iterator[Finding]:
    """Yield whether Coda's cache can be written, and what room there is for checkpoints."""
    yield _cache(cache_dir())
    hub = _hub_cache()
    free = _free_bytes(hub)
    found = f"{hub}, {free / 1e9:.1f} GB free"
    if free >= _DOWNLOAD:
        yield Finding("ok", "hub cache", found)
    else:
        remedy = "A released checkpoint wants 20 GB: make room, or move the cache with HF_HOME."
        yield Finding("warn", "hub cache", found, remedy)


def _cache(folder: Path) -> Finding:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        remedy = "Change its permissions, or name another folder with CODA_CACHE_DIR."
        return Finding("fail", "cache", f"{folder} cannot be written: {error.strerror}", remedy)
    free = _free_bytes(folder)
    found = f"{folder}, {free / 1e9:.1f} GB free"
    if free >= _SMALL:
        return Finding("ok", "cache", found)
    return Finding("warn", "cache", found, "Make room, or name a folder on another disk with CODA_CACHE_DIR.")


def _hub_cache() -> Path:
    """Return where the hub's own library keeps its downloads."""
    named = os.environ.get("HF_HUB_CACHE")
    home = os.environ.get("HF_HOME")
    if named:
        return Path(named).expanduser()
    return (Path(home).expanduser() if home else Path.home() / ".cache" / "huggingface") / "hub"


def _free_bytes(folder: Path) -> int:
    existing = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    return shutil.disk_usage(existing).free
