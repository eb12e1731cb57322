"""A stack as JSON: the schema that an editor completes and checks with, and a config's values to look at."""

from __future__ import annotations

import math
import typing
from pathlib import Path
from typing import Any, Final, Literal

import attrs

from coda_core.config.stack import SEVERAL, StackSettings, default_name
from coda_core.fields import Field, fields_of
from coda_core.interfaces import KINDS, Kind
from coda_core.plugins.registry import Registered, Registry, kind_words
from coda_core.settings import Setting, anchored

__all__ = ["settings_of", "stack_schema"]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_HIDDEN: Final = "***"

# A whole variable may stand for a number or boolean; a string may have one anywhere.
_VARIABLE: Final = {"$ref": "#/$defs/variable"}
_INTERPOLATED: Final = {"$ref": "#/$defs/interpolated"}
_DEFINITIONS: Final = {
    "variable": {"type": "string", "pattern": r"^\$\{[A-Za-z_][A-Za-z0-9_]*\}$"},
    "interpolated": {"type": "string", "pattern": r"\$\{"},
}


def settings_of(config: Any) -> dict[str, object]:
    """Return the settings of a config object after defaults, as values that JSON has; secrets are ``***``."""
    return {
        field.name: _HIDDEN if field.known.secret and value is not None else _plain(value)
        for field in fields_of(type(config))
        for value in [getattr(config, field.name)]
    }


def stack_schema(registry: Registry) -> dict[str, Any]:
    """Return a JSON Schema (draft 2020-12) of a stack with the components of `registry`.

    Every stack that can be read is valid. A valid one may still be refused: a schema knows no environment, no
    installed packages and no rules that span tables.
    """
    ambiguous = {(conflict.kind, conflict.name) for conflict in registry.conflicts}
    usable = {
        kind: [one for one in registry.components(kind) if (kind, one.component.name) not in ambiguous]
        for kind in KINDS
    }
    return {
        "$schema": _DIALECT,
        "title": "Coda stack",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "stack": {"description": "The stack as a whole.", **_table(StackSettings)},
            **{kind: _kind(kind, usable[kind]) for kind in KINDS},
        },
        "$defs": {
            **_DEFINITIONS,
            **{f"{kind}.{one.component.name}": _component(one) for kind in KINDS for one in usable[kind]},
            **_fallbacks(usable["processor"]),
        },
    }


def _kind(kind: Kind, usable: list[Registered]) -> dict[str, Any]:
    # An empty anyOf is no valid schema: where no component is installed, no table is right.
    options = [{"$ref": f"#/$defs/{kind}.{one.component.name}"} for one in usable]
    table: dict[str, Any] = {"anyOf": options} if options else {"not": {}}
    if kind in SEVERAL:
        table = {"anyOf": [{"type": "array", "items": table}, table]}
    return {"description": f"Which {kind_words(kind)} to use, and its settings.", **table}


def _component(one: Registered) -> dict[str, Any]:
    name = one.component.name
    table = _table(one.component.config)
    use = {"description": "Name of the component.", "anyOf": [{"const": name}, _INTERPOLATED]}
    defaults = {default_name(one.kind, StackSettings(streaming_enabled=streaming)) for streaming in (True, False)}
    fallback = {"fallback": {"$ref": "#/$defs/fallback"}} if one.kind == "processor" else {}
    return {
        "title": f"{kind_words(one.kind)} {name}",
        "description": one.component.summary,
        **table,
        "properties": {"use": use, **fallback, **table["properties"]},
        "required": [*([] if name in defaults else ["use"]), *table["required"]],
    }


def _fallbacks(processors: list[Registered]) -> dict[str, Any]:
    """Return what may stand under ``fallback`` in the processor's table: a name, or a table that gives it."""
    if not processors:
        return {}
    tables = {f"fallback.{one.component.name}": _fallback(one) for one in processors}
    name = {"enum": [one.component.name for one in processors]}
    return {
        "fallback": {
            "description": "Which processor takes the place of this one where it fails to load.",
            "anyOf": [name, _INTERPOLATED, *({"$ref": f"#/$defs/{key}"} for key in tables)],
        },
        **tables,
    }


def _fallback(one: Registered) -> dict[str, Any]:
    """Return a processor's table as a fallback has it: it is always named, and has no fallback of its own."""
    table = _component(one)
    properties = {name: setting for name, setting in table["properties"].items() if name != "fallback"}
    required = ["use", *(name for name in table["required"] if name != "use")]
    return {**table, "properties": properties, "required": required}


def _table(cls: type) -> dict[str, Any]:
    fields = fields_of(cls)
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {field.name: _setting(field) for field in fields},
        "required": [field.name for field in fields if field.required],
    }


def _setting(field: Field) -> dict[str, Any]:
    schema: dict[str, Any] = {"description": field.known.help} if field.known.help else {}
    if field.known.secret:
        schema["writeOnly"] = True
    elif not field.required and field.default is not None:
        schema["default"] = _plain(field.default)
    return {**schema, **_value(field.type, field.known)}


def _value(type_: Any, known: Setting) -> dict[str, Any]:
    if type_ in (int, float):
        bounds = {"minimum": known.minimum, "maximum": known.maximum}
        number: dict[str, Any] = {"type": "integer" if type_ is int else "number"}
        number |= {name: bound for name, bound in bounds.items() if bound is not None}
        return {"anyOf": [number, _VARIABLE]}
    if type_ is bool:
        return {"anyOf": [{"type": "boolean"}, _VARIABLE]}
    if type_ is str and known.pattern is not None:
        return {"anyOf": [{"type": "string", "pattern": anchored(known.pattern)}, _INTERPOLATED]}
    if type_ in (str, Path):
        return {"type": "string"}
    if typing.get_origin(type_) is Literal:
        return {"anyOf": [{"enum": list(typing.get_args(type_))}, _INTERPOLATED]}
    if typing.get_origin(type_) is tuple:
        return {"type": "array", "items": _value(typing.get_args(type_)[0], known)}
    return _table(type_)


def _plain(value: Any) -> Any:
    """Return a setting's value as JSON has it. JSON has no infinity: it becomes a string."""
    if attrs.has(type(value)):
        return settings_of(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Path) or (isinstance(value, float) and not math.isfinite(value)):
        return str(value)
    return value
