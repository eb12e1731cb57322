"""The help texts in docs/cli.md, made by the commands themselves.

python tests/cli_help.py        # rewrites them in place
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
_MARKED = re.compile(r"(<!-- help: (.*?) -->\n).*?(<!-- end of help -->)", re.DOTALL)


def with_help(page: str) -> str:
    """Return the page with every help text made anew."""
    return _MARKED.sub(lambda marks: f"{marks[1]}```text\n{_help(marks[2])}\n```\n{marks[3]}", page)


def _help(command: str) -> str:
    words = command.split()[1:]
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    program = [sys.executable, "-m", "coda_core.cli", *words, "--help"]
    return subprocess.run(program, capture_output=True, text=True, check=True, env=environment).stdout.strip()


if __name__ == "__main__":
    PAGE.write_text(with_help(PAGE.read_text()))
