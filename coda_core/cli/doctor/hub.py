"""The model hub."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from coda_core.cli.doctor.finding import Finding
from coda_core.cli.doctor.hub_probe import HUB
from coda_core.cli.doctor.probing import probe

__all__ = ["hub"]

_ANSWER_S: Final = 10.0
"""For a process to start, look up a name and be refused."""
_REMEDY: Final = (
    "Checkpoints that were downloaded before work without it: set HF_HUB_OFFLINE=1. "
    "Or give processor.model_path a folder with a checkpoint, or another hub's address in HF_ENDPOINT."
)


def hub() -> Iterator[Finding]:
    """Yield whether checkpoints can be downloaded."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        yield Finding("ok", "hub", "not asked, because HF_HUB_OFFLINE is set: only what was downloaded is used")
        return
    answer = probe("coda_core.cli.doctor.hub_probe", timeout_s=_ANSWER_S)
    address = answer.get("address", os.environ.get("HF_ENDPOINT") or HUB)
    if "error" in answer:
        yield Finding("warn", "hub", f"{address} cannot be reached: {answer['error']}", _REMEDY)
    elif answer["status"] >= 400:
        yield Finding("warn", "hub", f"{address} answers with HTTP status {answer['status']}", _REMEDY)
    else:
        yield Finding("ok", "hub", f"{address} answers")
