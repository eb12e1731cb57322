"""Lines for a log that a program can read too: ``event=opened conversation=... peer=...``."""

from __future__ import annotations

import json
import logging
import re
from typing import Final

__all__ = ["note"]

_PLAIN: Final = re.compile(r"[\w.:/@+\[\]-]+", re.ASCII)


def note(logger: logging.Logger, event: str, **facts: str | int | float | None) -> None:
    """Log that something happened. What a peer can have written is quoted, so that it cannot write lines of its own."""
    words = [f"{name}={_quoted(str(value))}" for name, value in {"event": event, **facts}.items() if value is not None]
    logger.info("%s", " ".join(words))


def _quoted(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else json.dumps(value)
