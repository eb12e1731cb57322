from __future__ import annotations

import attrs
import pytest

from coda_core.settings import Setting, bounds_problem, describe, setting


@attrs.frozen
class Config:
    port: int = setting(8998, help="TCP port.", minimum=1, maximum=65535)
    gain: float = setting(1.0, help="Factor.", minimum=0)
    name: str = setting("a", help="lower-case letters", pattern="[a-z]+")
    ports: tuple[int, ...] = setting((), help="More ports.", minimum=1)
    token: str | None = setting(None, help="Password.", pattern="[a-z]+", secret=True)
    plain: int = 3


def test_what_was_declared_is_found_again() -> None:
    fields = attrs.fields(Config)
    assert describe(fields.port) == Setting("TCP port.", 1, 65535)
    assert describe(fields.token) == Setting("Password.", pattern="[a-z]+", secret=True)
    assert describe(fields.plain) == Setting("")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"port": 0}, "port: 0 is too small; the smallest value is 1"),
        ({"port": 65536}, "port: 65536 is too large; the largest value is 65535"),
        ({"gain": -0.5}, "gain: -0.5 is too small; the smallest value is 0"),
        ({"gain": float("nan")}, "gain: nan is not a number to work with"),
        ({"name": "A"}, "name: 'A' has not the expected form (lower-case letters)"),
        ({"name": "a\n"}, "name: 'a\\n' has not the expected form (lower-case letters)"),
        (
            {"ports": (0, 5, -1)},
            "ports: 0 is too small; the smallest value is 1; -1 is too small; the smallest value is 1",
        ),
        ({"token": "SECRET"}, "token: its value has not the expected form (Password.)"),
    ],
)
def test_bounds_hold_from_python_too(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message.split(":")[0]) as raised:
        Config(**values)  # type: ignore[arg-type]
    assert str(raised.value) == message


def test_the_edges_are_inside() -> None:
    assert Config(port=1).port == 1
    assert Config(port=65535).port == 65535
    assert Config(gain=0).gain == 0
    assert bounds_problem(Setting("", minimum=1), True) is None


def test_a_message_can_show_something_else_than_the_value() -> None:
    assert bounds_problem(Setting("", maximum=5), 7, shown="${PIN}") == "${PIN} is too large; the largest value is 5"


def test_a_secret_stays_out_of_the_repr() -> None:
    text = repr(Config(token="hush"))
    assert "hush" not in text
    assert "token=***" in text


@pytest.mark.parametrize("pattern", ["(?i)on|off", "on|(", "[a-z"])
def test_a_pattern_that_no_schema_can_have_is_refused_where_it_is_written(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be a part of a JSON Schema: .*; write it without flags"):
        setting("", help="A switch.", pattern=pattern)
