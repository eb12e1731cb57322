from __future__ import annotations

import datetime

import pytest

from coda_core.wording import did_you_mean, enumerated, found, listing, one_line, shown, type_words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        (True, "true (a boolean)"),
        (3, "3 (an integer)"),
        (0.5, "0.5 (a number)"),
        ('say "é"', '"say \\"é\\"" (a string)'),
        ("x" * 61, f'"{"x" * 60}…" (a string)'),
        ({"a": 1}, "a table"),
        ([1], "a list"),
        ((1,), "a list"),
        (datetime.time(1, 2), "a date or time"),
        (datetime.datetime(2024, 1, 2), "a date or time"),
        (int, "the class int"),
        (object(), "an object"),
        (b"x", "a bytes"),
    ],
)
def test_what_was_found(value: object, text: str) -> None:
    assert found(value) == text
    assert text.endswith((type_words(value), f"({type_words(value)})"))


def test_shown_is_toml() -> None:
    assert [shown(value) for value in (True, 1, 1.5, "a\nb")] == ["true", "1", "1.5", '"a\\nb"']


def test_the_nearest_name() -> None:
    known = ["device", "dtype", "Seed"]
    assert did_you_mean("devise", known) == 'Did you mean "device"?'
    assert did_you_mean("SEED", known) == 'Did you mean "Seed"?'
    assert did_you_mean("xyz", known) == ""
    assert did_you_mean("x", []) == ""


def test_a_listing() -> None:
    assert listing(["b", "a"]) == "a, b"
    assert listing([]) == "none"


@pytest.mark.parametrize(
    ("names", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["c", "a", "b"], "c, a and b")]
)
def test_an_enumeration(names: list[str], text: str) -> None:
    assert enumerated(names) == text


def test_an_error_on_one_line() -> None:
    assert one_line(ValueError("two\n  lines")) == "ValueError: two lines"
    assert one_line(ValueError()) == "ValueError"
    assert one_line(ValueError("message", 1, 2)) == "ValueError: message"
    assert one_line(FileNotFoundError(2, "No such file", "x")) == "FileNotFoundError: [Errno 2] No such file: 'x'"
    assert one_line(SystemExit(3)) == "SystemExit: 3"
