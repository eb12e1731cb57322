from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Optional

import attrs
import pytest

from coda_core.fields import Field, fields_of
from coda_core.settings import Setting, setting


@attrs.frozen
class Inner:
    depth: int = setting(1, help="Depth.")


@attrs.frozen
class Outer:
    name: str = setting(help="Name.")
    path: Path | None = setting(None, help="Path.")
    mode: Optional[Literal["a", "b"]] = setting(None, help="Mode.")  # noqa: UP045
    inners: tuple[Inner, ...] = setting(attrs.Factory(lambda: (Inner(2),)), help="Inner.")
    later: int = attrs.field(default=attrs.Factory(lambda self: len(self.name), takes_self=True))
    made: int = attrs.field(init=False, default=0)


@attrs.frozen
class Derived(Inner):
    width: float = setting(2.0, help="Width.")


@attrs.frozen
class Itself:
    more: tuple[Itself, ...] = ()


@attrs.frozen
class Several:
    either: int | str = 1


@attrs.frozen
class Pair:
    pair: tuple[int, int] = (1, 2)


@attrs.frozen
class Holes:
    names: tuple[str | None, ...] = ()


@attrs.frozen
class Bare:
    names: tuple = ()  # type: ignore[type-arg]


@attrs.frozen
class Anything:
    what: Any = None


def untyped() -> type:
    return attrs.make_class("Untyped", {"x": attrs.field(default=1)}, frozen=True)


def test_fields_have_their_types_and_defaults() -> None:
    name, path, mode, inners, later = fields_of(Outer)
    assert name == Field("name", str, False, attrs.NOTHING, Setting("Name."))
    assert name.required
    assert (path.type, path.optional, path.default, path.required) == (Path, True, None, False)
    assert (mode.type, mode.optional) == (Literal["a", "b"], True)
    assert (inners.type, inners.default) == (tuple[Inner, ...], (Inner(2),))
    assert (later.type, later.required) == (int, False)


def test_fields_of_a_base_class_come_first() -> None:
    assert [field.name for field in fields_of(Derived)] == ["depth", "width"]


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Several, "Several.either has a type that a setting cannot have: int | str"),
        (Pair, "Pair.pair has a type that a setting cannot have: tuple[int, int]"),
        (Bare, "Bare.names has a type that a setting cannot have: <class 'tuple'>"),
        (Anything, "Anything.what has a type that a setting cannot have: typing.Any"),
        (Itself, "config class Itself contains itself"),
        (untyped(), "Untyped.x has a type that a setting cannot have: None"),
        (int, "config class int is not an attrs class"),
        (attrs.make_class("Thawed", []), "config class Thawed is not frozen: make it with @attrs.frozen"),
        ("Outer", "config class Outer is not an attrs class"),
    ],
)
def test_what_is_no_config_class(cls: type, message: str) -> None:
    with pytest.raises(TypeError) as raised:
        fields_of(cls)
    assert str(raised.value) == message


def test_a_list_with_holes_is_no_setting() -> None:
    with pytest.raises(TypeError, match=r"Holes\.names has a type that a setting cannot have"):
        fields_of(Holes)
