"""The checkpoint that ``model_path = "demo"`` selects: a small Moshi that speaks, part of this package.

The folder ``demo`` beside this module is a checkpoint like any other, in the released file format. How it was made and
what it can do is in its ``MODEL_CARD.md``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from coda_core.errors import ModelError

__all__ = ["FOLDER", "demo_checkpoint"]

FOLDER: Final = Path(__file__).parent / "demo"


def demo_checkpoint() -> Path:
    """Return the folder of the demo checkpoint; raises `ModelError` where this installation lacks it."""
    if not (FOLDER / "config.json").is_file():
        raise ModelError(
            f"the demo checkpoint is not in {FOLDER}, so this installation of Coda is not whole: install coda-core "
            "again. model_path = 'tiny' makes a random checkpoint that needs no file."
        )
    return FOLDER
