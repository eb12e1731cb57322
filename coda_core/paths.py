"""Where Coda keeps what can be made again."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

__all__ = ["cache_dir"]


def cache_dir() -> Path:
    """Return this user's cache folder for Coda; ``CODA_CACHE_DIR`` in the environment moves it. Nothing is created."""
    moved = os.environ.get("CODA_CACHE_DIR")
    return Path(moved).expanduser() if moved else platformdirs.user_cache_path("coda", appauthor=False)
