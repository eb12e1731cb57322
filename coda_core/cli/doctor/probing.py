"""Asking a module in a process of its own, which may crash, hang or write to the terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

__all__ = ["probe"]


def probe(module: str, *, timeout_s: float) -> dict[str, Any]:
    """Run ``python -m module``, which prints one JSON object, and return it; ``{"error": ...}`` where it fails."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", module], capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {timeout_s:g} s"}
    if done.returncode:
        return {"error": _last_line(done.stderr) or f"the process ended with code {done.returncode}"}
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
