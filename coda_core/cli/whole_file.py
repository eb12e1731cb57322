"""Writing a file that is under its name whole, or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from coda_core.errors import CodaError

__all__ = ["write_whole"]


def write_whole(path: Path, content: str | bytes) -> None:
    """Write `content`, text in UTF-8, replacing what was there; raises `CodaError` where that cannot be done."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        try:
            with part.open("xb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise CodaError(
            f"{path} cannot be written: {error.strerror}; give a file in a folder that this user may write to"
        ) from None
