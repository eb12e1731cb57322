"""What a search asks for, and whether a text has it, the same for every store."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import attrs

__all__ = ["Wanted", "folded", "holds", "wanted"]

_ASKED = re.compile(r'"([^"]*)"|(\S+)')
_WORD = re.compile(r"[^\W_]+")


@attrs.frozen
class Wanted:
    """Words, as they were written, that have to stand side by side; where it is a `prefix`, of the last one only
    the beginning."""

    words: tuple[str, ...]
    prefix: bool


def folded(text: str) -> list[str]:
    """Return the words of a text, without case and accents."""
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    return _WORD.findall(plain.casefold())


def wanted(text: str) -> list[Wanted]:
    """Return what a person asks for with `text`; see `coda_core.interfaces.StateStore.search`."""
    asked = []
    for match in _ASKED.finditer(text):
        words = _WORD.findall(unicodedata.normalize("NFC", match[0]))
        if words:
            asked.append(Wanted(tuple(words), match[0].endswith("*")))
    return asked


def holds(text: Sequence[str], asked: Wanted) -> bool:
    """Return whether the folded words `text` have what is asked for."""
    *whole, last = folded(" ".join(asked.words))
    for at in range(len(text) - len(whole)):
        found = text[at + len(whole)]
        if list(text[at : at + len(whole)]) == whole and (found.startswith(last) if asked.prefix else found == last):
            return True
    return False
