"""What docs/demo.md says that the checkpoint ``demo`` knows, made from the script of its trainer.

python tests/demo_script.py        # rewrites it in place
"""

from __future__ import annotations

import re
import textwrap
import tomllib
from pathlib import Path
from typing import Any

__all__ = ["PAGE", "REPLIES", "with_script"]

_ROOT = Path(__file__).parent.parent
PAGE = _ROOT / "docs" / "demo.md"
_MARKED = re.compile(r"(<!-- (questions|words) -->\n).*?(<!-- end of \2 -->)", re.DOTALL)
_SCRIPT: dict[str, Any] = tomllib.loads(
    (_ROOT / "contrib" / "coda-demo-model" / "coda_demo_model" / "script.toml").read_text("utf-8")
)
_SHOWN = 3
"""Phrasings of a question."""

REPLIES: dict[str, str] = {name: intent["reply"] for name, intent in _SCRIPT["intents"].items()}
"""What it answers, by the names of what is asked."""


def with_script(page: str) -> str:
    """Return the page with its table of questions and its list of words made anew."""
    made = {"questions": _questions(), "words": _words()}
    return _MARKED.sub(lambda marks: f"{marks[1]}\n{made[marks[2]]}\n\n{marks[3]}", page)


def _questions() -> str:
    rows = [
        f"| {', '.join(map(_plainest, intent['asks'][:_SHOWN]))} | {intent['reply']} |"
        for intent in _SCRIPT["intents"].values()
    ]
    return "\n".join(["| ask, for example | it answers |", "| --- | --- |", *rows])


def _plainest(pattern: str) -> str:
    """Return one phrasing: of alternatives the first, and nothing where that is one of them."""
    plain = re.sub(r"\(([^)]*)\)", lambda group: "" if group[1].endswith("|") else group[1].split("|")[0], pattern)
    return " ".join(plain.split())


def _words() -> str:
    words = {*_SCRIPT["vocabulary"]["words"].split(), *(word for reply in REPLIES.values() for word in reply.split())}
    return textwrap.fill(" ".join(sorted(words)), width=120)


if __name__ == "__main__":
    PAGE.write_text(with_script(PAGE.read_text()))
