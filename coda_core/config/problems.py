"""What went wrong while settings were read, as `Problem`s in a person's words."""

from __future__ import annotations

import typing
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Literal

import attrs

from coda_core.config.environment import MissingVariable, toml_value
from coda_core.errors import CodaError, Problem
from coda_core.fields import Field, fields_of
from coda_core.settings import Setting
from coda_core.wording import did_you_mean, found, listing, one_line, shown, type_words

__all__ = ["Mismatch", "Refused", "problems_in", "unknown_name"]


class Mismatch(Exception):
    """A value of another type than the setting's."""

    def __init__(self, value: object, type_: Any, variable: str | None = None) -> None:
        self.value = value
        self.type = type_
        self.variable = variable
        """The environment variable that `value` was read from; such a value is never shown."""
        super().__init__(type_)


class Refused(Exception):
    """A value of the right type that may not be. The text is the whole message."""


def problems_in(error: Exception, key: str, field: Field | None = None, owner: str = "") -> Iterator[Problem]:
    """Yield every problem in `error`, which was raised while the setting or table at `key` was read.

    `owner` is what the table belongs to, as in ``the transport "file"``.
    """
    from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError

    match error:
        case ClassValidationError():
            of_fields, of_class = error.group_exceptions()
            fields = {below.name: below for below in fields_of(error.cl)}
            for inner, attribute in of_fields:
                yield from problems_in(inner, f"{key}.{attribute.name}", _below(field, fields[attribute.name]))
            for inner in of_class:
                yield from problems_in(inner, key, owner=owner)
        case IterableValidationError():
            for inner, item in error.group_exceptions()[0]:
                yield from problems_in(inner, f"{key}.{item.index}", field)
        case ForbiddenExtraKeysError():
            known = [below.name for below in fields_of(error.cl)]
            for name in sorted(error.extra_fields):
                what = f"{owner} has no such setting." if owner else "there is no such setting."
                yield unknown_name(f"{key}.{name}", name, what, known)
        case KeyError() if field is not None:
            meaning = f": {field.known.help.rstrip('.')}" if field.known.help else ""
            yield Problem(key, f"is missing; expected {_expected(field.type, field.known)}{meaning}.")
        case Mismatch():
            yield _mismatch(error, key, field.known if field else Setting(help=""))
        case Refused() | MissingVariable() | CodaError():
            yield Problem(key, str(error))
        case ValueError() | TypeError():
            # From the class itself, which checks what its settings mean together.
            yield Problem(key, one_line(error).removeprefix(f"{type(error).__name__}: "))
        case _:
            yield Problem(key, one_line(error))


def unknown_name(key: str, name: str, message: str, known: Collection[str]) -> Problem:
    """Return the problem of a table or setting that does not exist, with the nearest of `known` or all of them."""
    return Problem(key, message, did_you_mean(name, known) or f"Known: {listing(known)}.")


def _below(field: Field | None, below: Field) -> Field:
    """Return a field of the table that `field` holds: what is in a secret table is secret."""
    if field is None or not field.known.secret:
        return below
    return attrs.evolve(below, known=attrs.evolve(below.known, secret=True))


def _mismatch(error: Mismatch, key: str, known: Setting) -> Problem:
    expected = _expected(error.type, known)
    if error.variable is not None:
        return Problem(key, f"found {type_words(error.value)} in ${{{error.variable}}}; expected {expected}.")
    if known.secret:
        return Problem(key, f"found {type_words(error.value)}; expected {expected}.")
    return Problem(key, f"found {found(error.value)}; expected {expected}.", _remedy(error.value, error.type))


def _expected(type_: Any, known: Setting) -> str:
    if typing.get_origin(type_) is Literal:
        choices = [shown(choice) for choice in typing.get_args(type_)]
        return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    if typing.get_origin(type_) is tuple:
        return f"a list, each item {_expected(typing.get_args(type_)[0], known)}"
    words = {bool: "true or false", int: "an integer", float: "a number", str: "a string", Path: "a path (a string)"}
    return words.get(type_, "a table") + (_bounds(known) if type_ in (int, float) else "")


def _bounds(known: Setting) -> str:
    low, high = known.minimum, known.maximum
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    if low is not None:
        return f", at least {low:g}"
    return "" if high is None else f", at most {high:g}"


def _remedy(value: object, type_: Any) -> str:
    if not isinstance(value, (bool, int, float, str)):
        return ""
    if typing.get_origin(type_) is Literal:
        return did_you_mean(str(value), [choice for choice in typing.get_args(type_) if isinstance(choice, str)])
    if typing.get_origin(type_) is tuple:
        return f"Write it in brackets: [{shown(value)}]."
    if type_ is str:
        return f'Write it in quotes: "{shown(value)}".'
    if isinstance(value, str) and _reads_as(value, type_):
        return f"Write it without quotes: {value}."
    return ""


def _reads_as(text: str, type_: Any) -> bool:
    try:
        value = toml_value(text)
    except ValueError:
        return False
    return type(value) is type_ or (type_ is float and type(value) is int)
