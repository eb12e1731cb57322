"""The settings of a config class, with their types resolved: what the reader, the schema and the loader look at."""

from __future__ import annotations

import types
import typing
from pathlib import Path
from typing import Any, Final, Literal

import attrs

from coda_core.settings import Setting, describe

__all__ = ["Field", "fields_of"]

SCALARS: Final = (bool, int, float, str, Path)


@attrs.frozen
class Field:
    """One setting."""

    name: str
    type: Any
    """As declared, with None taken away; see `coda_core.settings` for what it may be."""
    optional: bool
    """True where None is allowed."""
    default: Any
    """`attrs.NOTHING` where the setting is required; None too where it is worked out from other settings."""
    known: Setting

    @property
    def required(self) -> bool:
        return self.default is attrs.NOTHING


def fields_of(cls: type) -> tuple[Field, ...]:
    """Return the settings of a config class, in its order.

    Raises TypeError, in words for the class's author, where it is not a frozen attrs class or has a setting of a
    type that no setting may have.
    """
    return _fields_of(cls, ())


def _fields_of(cls: Any, inside: tuple[type, ...]) -> tuple[Field, ...]:
    if not isinstance(cls, type) or not attrs.has(cls):
        raise TypeError(f"config class {getattr(cls, '__name__', cls)} is not an attrs class")
    if not _is_frozen(cls):
        raise TypeError(f"config class {cls.__name__} is not frozen: make it with @attrs.frozen")
    if cls in inside:
        raise TypeError(f"config class {cls.__name__} contains itself")
    try:
        hints = typing.get_type_hints(cls)
    except Exception as error:
        raise TypeError(
            f"a type of config class {cls.__name__} cannot be resolved ({error}): "
            "import it at run time, not only under TYPE_CHECKING"
        ) from error
    return tuple(
        _field(cls, attribute, hints.get(attribute.name), (*inside, cls))
        for attribute in attrs.fields(cls)
        if attribute.init
    )


def _field(cls: type, attribute: attrs.Attribute[Any], hint: Any, inside: tuple[type, ...]) -> Field:
    type_, optional = _without_none(hint)
    if not _may_be_a_setting(type_, inside):
        raise TypeError(f"{cls.__name__}.{attribute.name} has a type that a setting cannot have: {hint}")
    default: Any = attribute.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # typed as a function, is a class
        default = default.factory() if not default.takes_self else None
    return Field(attribute.name, type_, optional, default, describe(attribute))


def _without_none(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [option for option in typing.get_args(hint) if option is not types.NoneType]
        if len(rest) == 1:
            return rest[0], True
    return hint, False


def _may_be_a_setting(type_: Any, inside: tuple[type, ...]) -> bool:
    if type_ in SCALARS:
        return True
    origin, arguments = typing.get_origin(type_), typing.get_args(type_)
    if origin is Literal:
        return all(isinstance(choice, (str, int)) for choice in arguments)
    if origin is tuple:
        return len(arguments) == 2 and arguments[1] is Ellipsis and _may_be_a_setting(arguments[0], inside)
    if isinstance(type_, type) and attrs.has(type_):
        _fields_of(type_, inside)
        return True
    return False


def _is_frozen(cls: type) -> bool:
    # attrs has no public question for this in the versions that Coda supports, so: try it on an empty instance.
    try:
        object.__new__(cls).__setattr__("frozen", None)
    except attrs.exceptions.FrozenInstanceError:
        return True
    except (AttributeError, TypeError):
        return False
    return False
