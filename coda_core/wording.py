"""How values and names are put into messages for people."""

from __future__ import annotations

import datetime
import difflib
import json
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["did_you_mean", "enumerated", "found", "listing", "one_line", "shown", "type_words"]

_LONGEST = 60


def type_words(value: object) -> str:
    """Return the type of `value` in the words of TOML, as in ``an integer``."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a number"
        case str():
            return "a string"
        case Mapping():
            return "a table"
        case list() | tuple():
            return "a list"
        case datetime.date() | datetime.time():
            return "a date or time"
        case type():
            return f"the class {value.__name__}"
        case _:
            name = type(value).__name__
            return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def shown(value: object) -> str:
    """Return a boolean, number or string as it is written in TOML, shortened where it is long."""
    if isinstance(value, str) and len(value) > _LONGEST:
        value = f"{value[:_LONGEST]}…"
    return json.dumps(value, ensure_ascii=False)


def found(value: object) -> str:
    """Return what a value is, as in ``"24000" (a string)`` or ``a table``."""
    if isinstance(value, (bool, int, float, str)):
        return f"{shown(value)} ({type_words(value)})"
    return type_words(value)


def listing(names: Iterable[str]) -> str:
    """Return names in order, for the end of a sentence."""
    return ", ".join(sorted(names)) or "none"


def enumerated(names: Sequence[str]) -> str:
    """Return names in the order given, for the middle of a sentence, as in ``one, two and three``."""
    return " and ".join([*filter(None, [", ".join(names[:-1])]), *names[-1:]])


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``Did you mean "..."?`` for the nearest of `known`, or an empty string where none is near."""
    by_folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word.casefold(), by_folded, n=1)
    return f'Did you mean "{by_folded[near[0]]}"?' if near else ""


def one_line(error: BaseException) -> str:
    """Return what `error` says, with its type, on one line."""
    # attrs' own validators raise with the message first and the attribute and value after it.
    said = error.args[0] if error.args and isinstance(error.args[0], str) else error
    text = " ".join(str(said).split())
    name = type(error).__name__
    return f"{name}: {text}" if text else name
