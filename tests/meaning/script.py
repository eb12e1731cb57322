"""What the checkpoint ``demo`` was taught: the script of its trainer, which nothing repeats."""

from __future__ import annotations

import tomllib
from pathlib import Path

__all__ = ["REPLIES"]

_SCRIPT = Path(__file__).parents[2] / "contrib" / "coda-demo-model" / "coda_demo_model" / "script.toml"

REPLIES: dict[str, str] = {
    name: intent["reply"] for name, intent in tomllib.loads(_SCRIPT.read_text("utf-8"))["intents"].items()
}
"""By the names of what is asked."""
