"""``${NAME}`` in the strings of a stack."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Final

__all__ = ["MissingVariable", "interpolate", "toml_value", "whole_variable"]

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_MARK: Final = re.compile(rf"\$\$\{{|\$\{{({_NAME})\}}|\$\{{")
_WHOLE: Final = re.compile(rf"\$\{{({_NAME})\}}")


class MissingVariable(ValueError):
    """A variable that is not set, or a ``${`` that names none. The text says which and what to do."""


def interpolate(text: str, environ: Mapping[str, str]) -> str:
    """Return `text` with every ``${NAME}`` replaced by the variable and every ``$${`` by ``${``.

    What a variable holds is taken as it is. Raises `MissingVariable`.
    """

    def replacement(mark: re.Match[str]) -> str:
        if mark[0] == "$${":
            return "${"
        if mark[1] is None:
            raise MissingVariable(
                'found "${" without the name of a variable. '
                "Write ${NAME} for a variable, or $${ for these two characters."
            )
        return lookup(mark[1], environ)

    return _MARK.sub(replacement, text)


def whole_variable(text: str) -> str | None:
    """Return NAME where `text` is exactly ``${NAME}``, else None."""
    match = _WHOLE.fullmatch(text)
    return match[1] if match else None


def lookup(name: str, environ: Mapping[str, str]) -> str:
    """Return a variable; raises `MissingVariable`."""
    if name not in environ:
        raise MissingVariable(f"the environment variable {name} is not set. Set it, or write a value here.")
    return environ[name]


def toml_value(text: str) -> object:
    """Return `text` read as one TOML value; raises ValueError where it is none."""
    document = tomllib.loads(f"value = {text}")
    if document.keys() != {"value"}:
        raise ValueError("more than one value")
    return document["value"]
