"""Plain values into config classes, strictly: no value is converted into one of another type.

cattrs walks the classes and collects the errors, the hooks here decide what a value may be, and
`coda_core.config.problems` puts what was collected into words.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import attrs

from coda_core.config.environment import interpolate, lookup, toml_value, whole_variable
from coda_core.config.problems import Mismatch, Refused, problems_in
from coda_core.errors import Problem
from coda_core.fields import Field, fields_of
from coda_core.settings import bounds_problem
from coda_core.wording import found

__all__ = ["Structurer"]

T = TypeVar("T")

_ACCEPTED: Final[Mapping[type, tuple[type, ...]]] = {bool: (bool,), int: (int,), float: (int, float)}


class Structurer:
    """Makes instances of config classes from what TOML or Python holds.

    Relative paths become absolute below `base_dir`. Strings are interpolated from `environ`; where that is None,
    as for values from Python, they are taken as they are.
    """

    def __init__(self, *, base_dir: Path, environ: Mapping[str, str] | None = None) -> None:
        import cattrs

        self._base_dir = base_dir
        self._environ = environ
        self._converter = cattrs.Converter(forbid_extra_keys=True)
        for type_ in _ACCEPTED:
            self._converter.register_structure_hook(type_, self._scalar)
        self._converter.register_structure_hook(str, self._text)
        self._converter.register_structure_hook(Path, self._path)
        self._converter.register_structure_hook_func(_is_choice, self._choice)
        self._converter.register_structure_hook_func(_is_items, self._items)
        self._converter.register_structure_hook_factory(attrs.has, self._class_hook)

    def structure(self, value: object, type_: type[T], key: str, owner: str = "") -> tuple[T | None, list[Problem]]:
        """Return `value` as `type_`, or None with every problem in it.

        `key` is where it stands in its stack, `owner` what it configures, as in ``the transport "file"``. An
        instance of `type_` is checked like a table of its fields.
        """
        try:
            return self._converter.structure(value, type_), []
        except Exception as error:
            return None, list(problems_in(error, key, owner=owner))

    def _class_hook(self, cls: type) -> Callable[[Any, Any], Any]:
        from cattrs.gen import make_dict_structure_fn, override

        fields = fields_of(cls)
        hooks: dict[str, Any] = {field.name: override(struct_hook=self._field_hook(field)) for field in fields}
        read: Any = make_dict_structure_fn(cls, self._converter, _cattrs_use_linecache=False, **hooks)

        def hook(value: Any, _: Any) -> Any:
            if isinstance(value, cls):
                value = {field.name: getattr(value, field.name) for field in fields}
            if not isinstance(value, Mapping):
                raise Mismatch(value, cls)
            return read(value, cls)

        return hook

    def _field_hook(self, field: Field) -> Callable[[Any, Any], Any]:
        inner = self._converter.get_structure_hook(field.type)

        def hook(value: Any, _: Any) -> Any:
            if value is None and field.optional:
                return None
            read = inner(value, field.type)
            # What a variable holds may be a password that was put into the wrong setting.
            from_environment = self._environ is not None and isinstance(value, str) and "${" in value
            problem = bounds_problem(field.known, read, shown=value if from_environment else None)
            if problem is not None:
                raise Refused(f"{problem}.")
            return read

        return hook

    def _scalar(self, value: object, type_: Any) -> Any:
        read, variable = self._from_environment(value, type_)
        if not isinstance(read, _ACCEPTED[type_]) or (isinstance(read, bool) and type_ is not bool):
            raise Mismatch(read, type_, variable)
        try:
            return type_(read)
        except OverflowError:
            raise Refused("the integer found is too large to be a number.") from None

    def _from_environment(self, value: object, type_: Any) -> tuple[object, str | None]:
        """Return a value and, where it was ``${NAME}``, the name of the variable that it was read from."""
        name = whole_variable(value) if isinstance(value, str) and self._environ is not None else None
        if name is None or self._environ is None:
            return value, None
        text = lookup(name, self._environ)
        try:
            return toml_value(text), name
        except ValueError:
            raise Mismatch(text, type_, name) from None

    def _text(self, value: object, type_: Any) -> str:
        if not isinstance(value, str):
            raise Mismatch(value, type_)
        return value if self._environ is None else interpolate(value, self._environ)

    def _path(self, value: object, type_: Any) -> Path:
        if not isinstance(value, (str, Path)):
            raise Mismatch(value, type_)
        text = self._text(str(value), type_)
        if not text:
            raise Refused("found an empty string; expected a path.")
        if "\0" in text:
            raise Refused(f"found {found(value)}; a path cannot hold a NUL character.")
        try:
            return self._base_dir / Path(text).expanduser()
        except RuntimeError:
            raise Refused(f"found {found(value)}, and the home folder that it begins with is not known.") from None

    def _choice(self, value: object, type_: Any) -> object:
        text = self._text(value, str) if isinstance(value, str) else value
        number, variable = self._from_environment(value, type_) if text not in typing.get_args(type_) else (text, None)
        for choice in typing.get_args(type_):
            # 1 == True in Python, and no setting means that.
            if type(choice) is type(number) and choice == number:
                return choice
        raise Mismatch(number, type_, variable)

    def _items(self, value: object, type_: Any) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            raise Mismatch(value, type_)
        items: Any = list[typing.get_args(type_)[0]]  # type: ignore[misc]
        return tuple(self._converter.structure(list(value), items))


def _is_choice(type_: Any) -> bool:
    return typing.get_origin(type_) is Literal


def _is_items(type_: Any) -> bool:
    return typing.get_origin(type_) is tuple
