from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coda_core.config.environment import MissingVariable, interpolate, toml_value, whole_variable

ENVIRON = {"NAME": "ada", "EMPTY": "", "TRICKY": "${NAME} $${X}"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("${NAME}", "ada"),
        ("${NAME}-${NAME}!", "ada-ada!"),
        ("[${EMPTY}]", "[]"),
        ("$${NAME}", "${NAME}"),
        ("$$${NAME}", "$${NAME}"),
        ("$NAME $5 {NAME} $$", "$NAME $5 {NAME} $$"),
        ("${TRICKY}", "${NAME} $${X}"),
    ],
)
def test_interpolation(text: str, result: str) -> None:
    assert interpolate(text, ENVIRON) == result


@pytest.mark.parametrize("text", ["${", "${}", "${ NAME}", "${1ST}", "${NAME", "a ${b-c} d"])
def test_a_mark_without_a_name(text: str) -> None:
    with pytest.raises(MissingVariable, match="without the name of a variable"):
        interpolate(text, ENVIRON)


def test_a_variable_that_is_not_set() -> None:
    with pytest.raises(MissingVariable) as raised:
        interpolate("${NAME} ${OTHER}", ENVIRON)
    assert str(raised.value) == "the environment variable OTHER is not set. Set it, or write a value here."


@given(st.text())
def test_doubling_the_dollar_keeps_any_text(text: str) -> None:
    assert interpolate(text.replace("${", "$${"), {}) == text


def test_a_whole_variable() -> None:
    assert whole_variable("${PORT_1}") == "PORT_1"
    assert [whole_variable(text) for text in ("$${PORT}", "${PORT} ", "${PORT}\n", "a${PORT}", "PORT")] == [None] * 5


@pytest.mark.parametrize(
    ("text", "value"), [("1_000", 1000), (" 2.5 # half", 2.5), ("true", True), ('"a"', "a"), ("[1, 2]", [1, 2])]
)
def test_a_toml_value(text: str, value: object) -> None:
    assert toml_value(text) == value


@pytest.mark.parametrize("text", ["", "tiny", "True", "08", "1\nother = 2", "1\n[table]", "a = 1"])
def test_what_is_not_one_toml_value(text: str) -> None:
    with pytest.raises(ValueError, match=r"\(at |more than one value"):
        toml_value(text)
