"""How a component's config class declares its settings.

A config class is a frozen attrs class whose fields are made with `setting`. One declaration serves the TOML
reader, the JSON Schema, ``coda check`` and the documentation.

Types that a setting may have: ``bool``, ``int``, ``float``, ``str``, ``pathlib.Path`` (relative paths are taken
from the TOML file's folder), ``Literal[...]``, ``tuple[T, ...]``, another such class, and any of these or None.
"""

from __future__ import annotations

import re
from typing import Any

import attrs

__all__ = ["Setting", "describe", "setting"]

_KEY = "coda"


@attrs.frozen
class Setting:
    """What is known of a setting beside its name, type and default."""

    help: str
    """One line for a person: what it does and its unit."""
    minimum: float | None = None
    """Smallest value allowed, for numbers."""
    maximum: float | None = None
    """Largest value allowed, for numbers."""
    pattern: str | None = None
    """Regular expression that the whole of a string must match."""
    secret: bool = False
    """Never shown: a token or password."""


def setting(
    default: Any = attrs.NOTHING,
    *,
    help: str,
    minimum: float | None = None,
    maximum: float | None = None,
    pattern: str | None = None,
    secret: bool = False,
) -> Any:
    """Declare one field of a config class; without `default` the setting is required.

    Bounds and pattern are checked when a stack is read and when the class is made from Python; the latter raises
    ValueError. In a tuple they hold for each item. A secret stays out of the class's repr and of every message.

    Raises ValueError for a `pattern` that cannot be a part of the JSON Schema, as with flags such as ``(?i)``.
    """
    if pattern is not None:
        try:
            re.compile(anchored(pattern))
        except re.error as error:
            raise ValueError(
                f"the pattern {pattern!r} cannot be a part of a JSON Schema: {error}; write it without flags"
            ) from None
    known = Setting(help, minimum, maximum, pattern, secret)
    return attrs.field(
        default=default,
        validator=_within_bounds,
        repr=(lambda _value: "***") if secret else True,
        metadata={_KEY: known},
    )


def anchored(pattern: str) -> str:
    """Return the pattern as JSON Schema has it, which looks for it anywhere in a string."""
    return f"^(?:{pattern})$"


def describe(attribute: attrs.Attribute[Any]) -> Setting:
    """Return what `setting` declared for an attrs attribute; an empty one for a field made otherwise."""
    found = attribute.metadata.get(_KEY)
    return found if isinstance(found, Setting) else Setting(help="")


def bounds_problem(known: Setting, value: Any, shown: str | None = None) -> str | None:
    """Return what is wrong with `value`, or None.

    The message says `shown` instead of the value where that is given, and never says the value of a secret.
    """
    if isinstance(value, tuple):
        found = [bounds_problem(known, item, shown) for item in value]
        return "; ".join(problem for problem in found if problem is not None) or None
    name = "its value" if known.secret else shown if shown is not None else repr(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if value != value:
            return f"{name} is not a number to work with"
        if known.minimum is not None and value < known.minimum:
            return f"{name} is too small; the smallest value is {known.minimum:g}"
        if known.maximum is not None and value > known.maximum:
            return f"{name} is too large; the largest value is {known.maximum:g}"
    if known.pattern is not None and isinstance(value, str) and re.fullmatch(known.pattern, value) is None:
        return f"{name} has not the expected form ({known.help})"
    return None


def _within_bounds(_instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    problem = bounds_problem(describe(attribute), value)
    if problem is not None:
        raise ValueError(f"{attribute.name}: {problem}")
