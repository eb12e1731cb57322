"""``--set KEY=VALUE``: single values of a stack, replaced before it is read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from coda_core.config.environment import toml_value
from coda_core.config.stack import SEVERAL
from coda_core.errors import Problem
from coda_core.wording import type_words

__all__ = ["apply_overrides"]


class _WrongPath(Exception):
    """A key that leads nowhere."""


def apply_overrides(document: dict[str, Any], overrides: Iterable[str]) -> tuple[list[str], list[Problem]]:
    """Put each ``KEY=VALUE`` into `document`, a parsed stack, and return the keys that were set and the problems.

    A value is read as TOML where it is TOML, else as a string. Tables that are not there are made; among several
    tables a number says which, from 0, and may be left out where there is but one.
    """
    keys: list[str] = []
    problems: list[Problem] = []
    for override in overrides:
        key, equals, value = override.partition("=")
        parts = [part.strip() for part in key.split(".")]
        try:
            if not equals or not all(parts):
                raise _WrongPath("expected KEY=VALUE, as in processor.device=cpu.")
            keys.append(_put(document, parts, _read(value)))
        except _WrongPath as error:
            problems.append(Problem(f"--set {key}", str(error)))
    return keys, problems


def _read(text: str) -> object:
    try:
        return toml_value(text)
    except (ValueError, RecursionError):
        return text


def _put(document: dict[str, Any], parts: list[str], value: object) -> str:
    """Put `value` where `parts` lead, and return its key with every number in it."""
    here: Any = document
    done: list[str] = []
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        if isinstance(here, list) and not part.isdecimal():
            here = _only(here, done)
        slot = _slot(here, part, done)
        done.append(part)
        if following is None:
            here[slot] = value
            break
        if len(done) == 1 and part in SEVERAL and following.isdecimal():
            tables = here.get(part, [])
            here[part] = tables if isinstance(tables, list) else [tables]
        elif isinstance(here, dict):
            here.setdefault(part, {})
        here = here[slot]
    return ".".join(done)


def _only(tables: list[Any], done: list[str]) -> Any:
    """Return the only table of a list, made where there is none."""
    name = done[-1]
    if len(tables) > 1:
        raise _WrongPath(f"there are {len(tables)} of {name}; say which, from {name}.0 to {name}.{len(tables) - 1}.")
    if not tables:
        tables.append({})
    done.append("0")
    return tables[0]


def _slot(here: Any, part: str, done: list[str]) -> str | int:
    """Return what to index `here` with for `part`; a list grows by one where `part` is its length."""
    if isinstance(here, dict):
        return part
    if not isinstance(here, list):
        raise _WrongPath(f"{'.'.join(done)} holds {type_words(here)} and has no settings in it.")
    index = int(part)
    if index > len(here):
        raise _WrongPath(f"{'.'.join(done)} has {len(here)} items, counted from 0; the next would be {len(here)}.")
    if index == len(here):
        here.append({})
    return index
