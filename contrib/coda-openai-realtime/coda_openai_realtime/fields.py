"""Reads the fields of what a client sent, and says which one is wrong."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from coda_openai_realtime.refusal import Refused

__all__ = ["choice", "flag", "mapping", "only", "text", "whole_number", "written"]

_SHOWN = 80


def only(fields: Mapping[str, Any], known: Collection[str], at: str) -> None:
    """Raise `Refused` for a field that the protocol does not have."""
    for name in fields:
        if name not in known:
            param = f"{at}.{name[:_SHOWN]}" if at else name[:_SHOWN]
            raise Refused(code="unknown_parameter", message=f"Unknown parameter: '{param}'.", param=param)


def mapping(value: Any, param: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(value, "an object", param)
    return value


def text(fields: Mapping[str, Any], name: str, at: str = "") -> str:
    """Return a string that must be there."""
    param = f"{at}.{name}" if at else name
    if fields.get(name) is None:
        raise Refused(code="missing_required_parameter", message=f"Missing required parameter: '{param}'.", param=param)
    return written(fields[name], param)


def written(value: Any, param: str) -> str:
    """Return a string that can be written as UTF-8."""
    if not isinstance(value, str):
        raise _wrong(value, "a string", param)
    try:
        value.encode()
    except UnicodeEncodeError:
        message = f"Invalid '{param}': it holds half of a surrogate pair, which is no character."
        raise Refused(code="invalid_value", message=message, param=param) from None
    return value


def whole_number(fields: Mapping[str, Any], name: str) -> int:
    """Return a whole number from 0 up that must be there."""
    if fields.get(name) is None:
        raise Refused(code="missing_required_parameter", message=f"Missing required parameter: '{name}'.", param=name)
    value = fields[name]
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(value, "an integer", name)
    if value < 0:
        raise Refused(code="invalid_value", message=f"Invalid '{name}': expected a value of 0 or more.", param=name)
    return value


def flag(value: Any, param: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, "a boolean", param)
    return value


def choice(value: Any, known: Collection[str], param: str) -> str:
    """Return a string that is one of `known`."""
    if not isinstance(value, str):
        raise _wrong(value, "a string", param)
    if value not in known:
        supported = ", ".join(f"'{each}'" for each in known)
        raise Refused(
            code="invalid_value",
            message=f"Invalid value: '{value[:_SHOWN]}'. Supported values are: {supported}.",
            param=param,
        )
    return value


def _wrong(value: Any, expected: str, param: str) -> Refused:
    names = {str: "a string", bool: "a boolean", int: "an integer", float: "a number", list: "an array"}
    found = "null" if value is None else names.get(type(value), "an object")
    message = f"Invalid type for '{param}': expected {expected}, but got {found} instead."
    return Refused(code="invalid_type", message=message, param=param)
