"""Which checkpoint a benchmark runs: the one that comes with Coda, unless it is asked for another."""

from __future__ import annotations

import argparse
from pathlib import Path

from coda_core.paths import cache_dir
from coda_moshi.shipped import demo_checkpoint
from coda_moshi.tiny import tiny_checkpoint

__all__ = ["checkpoint_folder", "checkpoint_option"]


def checkpoint_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--checkpoint``."""
    parser.add_argument("--checkpoint", default="demo", metavar="NAME", help="demo, tiny, or a folder")


def checkpoint_folder(name: str) -> Path:
    """Return the folder of what ``--checkpoint`` names."""
    if name == "demo":
        return demo_checkpoint()
    return tiny_checkpoint(cache_dir()) if name == "tiny" else Path(name)
