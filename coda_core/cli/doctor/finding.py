"""One thing that the doctor looked at."""

from __future__ import annotations

from typing import Literal

import attrs

__all__ = ["Finding", "Status"]

Status = Literal["ok", "warn", "fail"]


@attrs.frozen
class Finding:
    """What was found, and what to do about it."""

    status: Status
    """``fail`` where Coda itself cannot work; ``warn`` where something that one may want does not."""
    about: str
    found: str
    remedy: str = ""
