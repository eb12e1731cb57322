"""The commands of ``/api/events``: JSON in, what is to be done out. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

import attrs

from coda_core.wording import did_you_mean

__all__ = ["COMMANDS", "BadOrder", "Order", "read_order"]

_MOST_CHARACTERS: Final = 2000
COMMANDS: Final[Mapping[str, frozenset[str]]] = {
    "say": frozenset({"text", "deadline_s", "expires_s", "yields"}),
    "interrupt": frozenset({"for_s"}),
    "pause": frozenset(),
    "resume": frozenset(),
    "close": frozenset(),
}
"""Each with the fields that it may have beside ``command`` and ``id``."""


class BadOrder(ValueError):
    """A command that cannot be done as it was written."""

    def __init__(self, message: str, id: Any = None) -> None:
        super().__init__(message)
        self.id = id


@attrs.frozen
class Order:
    """One command."""

    command: str
    id: str | int | None
    """What the peer calls it; comes back with the reply."""
    fields: Mapping[str, Any]


def read_order(text: str) -> Order:
    """Return the command in `text`. Raises ValueError for what is no JSON object, `BadOrder` for a wrong one."""
    value = json.loads(text, parse_constant=_no_number)
    if not isinstance(value, dict):
        raise ValueError("expected a JSON object")
    id = value.pop("id", None)
    if id is not None and (isinstance(id, bool) or not isinstance(id, (str, int))):
        raise BadOrder("id is to be a string or a whole number")
    command = value.pop("command", None)
    if not isinstance(command, str) or command not in COMMANDS:
        near = did_you_mean(str(command), COMMANDS)
        raise BadOrder(f"there is no command {str(command)[:40]!r}. {near}".rstrip(), id)
    unknown = sorted(set(value) - COMMANDS[command])
    if unknown:
        raise BadOrder(f"{command} has no field {unknown[0][:40]!r}", id)
    problem = _problem(command, value)
    if problem is not None:
        raise BadOrder(problem, id)
    return Order(command, id, value)


def _problem(command: str, fields: Mapping[str, Any]) -> str | None:
    if command == "say":
        text = fields.get("text")
        if not isinstance(text, str) or not text.strip():
            return "say needs a text that is not blank"
        if len(text) > _MOST_CHARACTERS:
            return f"the text has {len(text)} characters; at most {_MOST_CHARACTERS} can be said at once"
        if not isinstance(fields.get("yields", False), bool):
            return "yields is to be true or false"
        if not _is_time(fields.get("deadline_s", 0.0)):
            return "deadline_s is to be a number of seconds from 0 up"
        if fields.get("expires_s") is not None and not _is_time(fields["expires_s"]):
            return "expires_s is to be a number of seconds from 0 up, or null"
    for_s = fields.get("for_s")
    if for_s is not None and (not _is_time(for_s) or not for_s):
        return "for_s is to be a number of seconds above 0, or null"
    return None


def _is_time(value: Any) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and -1e9 < value < 1e9
        and math.isfinite(value)
        and value >= 0
    )


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")
