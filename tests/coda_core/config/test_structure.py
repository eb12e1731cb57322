"""Values into config classes: what is taken, what is refused, and in which words."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coda_core.config.structure import Structurer
from coda_core.errors import CodaError, Problem
from coda_core.settings import setting

if TYPE_CHECKING:
    from tests.coda_core.conftest import Kit

BASE = Path("/stacks")
ENVIRON = {
    "COUNT": "12",
    "HALF": "0.5",
    "YES": "true",
    "WORD": "hunter2",
    "DEVICE": "cpu",
    "LEVEL": "4",
    "EMPTY": "",
    "FOLDER": "models",
    "HOME": "/home/ada",
}


def read(kit: Kit, table: dict[str, Any]) -> Any:
    config, problems = Structurer(base_dir=BASE, environ=ENVIRON).structure(table, kit.model, "processor")
    assert problems == []
    return config


def problems_of(kit: Kit, table: dict[str, Any]) -> list[str]:
    structurer = Structurer(base_dir=BASE, environ=ENVIRON)
    config, problems = structurer.structure(table, kit.model, "processor", 'the processor "moshi"')
    assert config is None
    return [str(problem) for problem in problems]


def test_an_empty_table_gives_the_defaults(kit: Kit) -> None:
    assert read(kit, {}) == kit.model()


def test_every_type_of_setting(kit: Kit) -> None:
    table = {
        "model_path": "x",
        "device": "cuda",
        "levels": 4,
        "conversations": 12,
        "temperature": 1,
        "greedy": True,
        "revision": "abc123",
        "cache": "cache",
        "layers": [1, 2],
        "token": "hush",
        "pin": 1234,
        "adapters": [{"path": "a"}, {"path": "/b", "scale": 2}],
        "first_adapter": {"path": "../c"},
    }
    config = read(kit, table)
    assert config == kit.model(
        model_path="x",
        device="cuda",
        levels=4,
        conversations=12,
        temperature=1.0,
        greedy=True,
        revision="abc123",
        cache=BASE / "cache",
        layers=(1, 2),
        token="hush",
        pin=1234,
        adapters=(kit.adapter(path=BASE / "a"), kit.adapter(path=Path("/b"), scale=2.0)),
        first_adapter=kit.adapter(path=BASE / "../c"),
    )
    assert type(config.temperature) is float
    assert type(config.layers) is tuple


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "conversations",
            "24",
            'found "24" (a string); expected an integer from 1 to 64. Write it without quotes: 24.',
        ),
        ("conversations", 1.0, "found 1.0 (a number); expected an integer from 1 to 64."),
        ("conversations", True, "found true (a boolean); expected an integer from 1 to 64."),
        ("conversations", [1], "found a list; expected an integer from 1 to 64."),
        ("conversations", 0, "0 is too small; the smallest value is 1."),
        ("conversations", 65, "65 is too large; the largest value is 64."),
        ("temperature", "hot", 'found "hot" (a string); expected a number, at least 0.'),
        ("temperature", "1", 'found "1" (a string); expected a number, at least 0. Write it without quotes: 1.'),
        ("temperature", False, "found false (a boolean); expected a number, at least 0."),
        ("temperature", float("nan"), "nan is not a number to work with."),
        ("temperature", -1, "-1.0 is too small; the smallest value is 0."),
        ("temperature", 10**400, "the integer found is too large to be a number."),
        ("greedy", 1, "found 1 (an integer); expected true or false."),
        ("greedy", "true", 'found "true" (a string); expected true or false. Write it without quotes: true.'),
        ("greedy", "yes", 'found "yes" (a string); expected true or false.'),
        ("model_path", 7, 'found 7 (an integer); expected a string. Write it in quotes: "7".'),
        ("model_path", True, 'found true (a boolean); expected a string. Write it in quotes: "true".'),
        ("model_path", {"a": 1}, "found a table; expected a string."),
        ("model_path", datetime.date(2024, 1, 2), "found a date or time; expected a string."),
        ("model_path", None, "found nothing; expected a string."),
        ("revision", "main", "'main' has not the expected form (a commit, 4 to 40 hexadecimal digits)."),
        ("cache", 3, "found 3 (an integer); expected a path (a string)."),
        ("cache", "", "found an empty string; expected a path."),
        ("cache", "a\0b", 'found "a\\u0000b" (a string); a path cannot hold a NUL character.'),
        ("device", "gpu", 'found "gpu" (a string); expected one of "auto", "cpu", "cuda". Did you mean "cpu"?'),
        ("device", "CUDA", 'found "CUDA" (a string); expected one of "auto", "cpu", "cuda". Did you mean "cuda"?'),
        ("device", 0, 'found 0 (an integer); expected one of "auto", "cpu", "cuda".'),
        ("levels", 3, "found 3 (an integer); expected one of 1, 2, 4."),
        ("levels", True, "found true (a boolean); expected one of 1, 2, 4."),
        (
            "layers",
            3,
            "found 3 (an integer); expected a list, each item an integer, at least 0. Write it in brackets: [3].",
        ),
        ("layers", {"a": 1}, "found a table; expected a list, each item an integer, at least 0."),
        ("layers", [1, -1, -2], "-1 is too small; the smallest value is 0; -2 is too small; the smallest value is 0."),
        ("first_adapter", "x", 'found "x" (a string); expected a table.'),
        ("token", 1234, "found an integer; expected a string."),
        ("pin", "12345", "found a string; expected an integer, at most 9999."),
        ("pin", 12345, "its value is too large; the largest value is 9999."),
    ],
)
def test_a_value_that_is_refused(kit: Kit, name: str, value: object, message: str) -> None:
    assert problems_of(kit, {name: value}) == [f"processor.{name}: {message}"]


def test_a_long_value_is_shortened(kit: Kit) -> None:
    (problem,) = problems_of(kit, {"conversations": "x" * 500})
    assert problem == f'processor.conversations: found "{"x" * 60}…" (a string); expected an integer from 1 to 64.'


def test_every_problem_is_reported_with_its_place(kit: Kit) -> None:
    table = {
        "devise": "cpu",
        "zzz": 1,
        "greedy": "no",
        "layers": [1, "2", 3.0],
        "adapters": [{"path": 1, "scale": 3}, "x", {"scle": 1.0}],
    }
    known = (
        "Known: adapters, cache, conversations, device, first_adapter, greedy, layers, levels, model_path, pin, "
        "revision, temperature, token."
    )
    assert problems_of(kit, table) == [
        'processor.greedy: found "no" (a string); expected true or false.',
        'processor.layers.1: found "2" (a string); expected an integer, at least 0. Write it without quotes: 2.',
        "processor.layers.2: found 3.0 (a number); expected an integer, at least 0.",
        "processor.adapters.0.path: found 1 (an integer); expected a path (a string).",
        "processor.adapters.0.scale: 3.0 is too large; the largest value is 2.",
        'processor.adapters.1: found "x" (a string); expected a table.',
        "processor.adapters.2.path: is missing; expected a path (a string): File with the weights.",
        'processor.adapters.2.scle: there is no such setting. Did you mean "scale"?',
        'processor.devise: the processor "moshi" has no such setting. Did you mean "device"?',
        f'processor.zzz: the processor "moshi" has no such setting. {known}',
    ]


@attrs.frozen
class Vault:
    door: int = setting(1, help="x")
    combination: int = setting(1, help="x")


@attrs.frozen
class Bank:
    vault: Vault | None = setting(None, help="x", secret=True)
    codes: tuple[int, ...] = setting((), help="x", secret=True)


def test_what_lies_in_a_secret_is_secret() -> None:
    table = {"vault": {"door": 2, "combination": "1-2-3"}, "codes": [1, "four"]}
    _, problems = Structurer(base_dir=BASE).structure(table, Bank, "bank")
    assert [str(problem) for problem in problems] == [
        "bank.vault.combination: found a string; expected an integer.",
        "bank.codes.1: found a string; expected an integer.",
    ]


def test_variables_in_strings(kit: Kit) -> None:
    table = {"model_path": "${FOLDER}/x", "cache": "${FOLDER}", "token": "$${WORD}", "revision": "${COUNT}ab"}
    assert read(kit, table) == kit.model(model_path="models/x", cache=BASE / "models", token="${WORD}", revision="12ab")


def test_a_whole_variable_is_read_as_the_type_that_is_wanted(kit: Kit) -> None:
    table = {
        "conversations": "${COUNT}",
        "temperature": "${HALF}",
        "greedy": "${YES}",
        "device": "${DEVICE}",
        "levels": "${LEVEL}",
        "model_path": "${COUNT}",
        "layers": ["${COUNT}"],
    }
    assert read(kit, table) == kit.model(
        conversations=12, temperature=0.5, greedy=True, device="cpu", levels=4, model_path="12", layers=(12,)
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("conversations", "${WORD}", "found a string in ${WORD}; expected an integer from 1 to 64."),
        ("conversations", "${HALF}", "found a number in ${HALF}; expected an integer from 1 to 64."),
        ("conversations", "${EMPTY}", "found a string in ${EMPTY}; expected an integer from 1 to 64."),
        ("conversations", "1${COUNT}", 'found "1${COUNT}" (a string); expected an integer from 1 to 64.'),
        ("greedy", "${COUNT}", "found an integer in ${COUNT}; expected true or false."),
        ("pin", "${WORD}", "found a string in ${WORD}; expected an integer, at most 9999."),
        ("device", "${WORD}", 'found a string in ${WORD}; expected one of "auto", "cpu", "cuda".'),
        ("levels", "${COUNT}", "found an integer in ${COUNT}; expected one of 1, 2, 4."),
        ("revision", "${WORD}", "${WORD} has not the expected form (a commit, 4 to 40 hexadecimal digits)."),
        ("cache", "${EMPTY}", "found an empty string; expected a path."),
        ("model_path", "${GONE}", "the environment variable GONE is not set. Set it, or write a value here."),
        ("greedy", "${GONE}", "the environment variable GONE is not set. Set it, or write a value here."),
        (
            "token",
            "a${}",
            'found "${" without the name of a variable. Write ${NAME} for a variable, or $${ for these two characters.',
        ),
    ],
)
def test_a_variable_that_does_not_fit(kit: Kit, name: str, value: str, message: str) -> None:
    problems = problems_of(kit, {name: value})
    assert problems == [f"processor.{name}: {message}"]
    assert "hunter2" not in problems[0]


def test_values_from_python_are_taken_as_they_are(kit: Kit) -> None:
    given: dict[str, Any] = {"token": "${WORD}", "model_path": "${GONE}", "layers": [1, 2], "cache": "cache"}
    config = kit.model(**given)
    checked, problems = Structurer(base_dir=BASE).structure(config, kit.model, "processor")
    assert problems == []
    assert checked == kit.model(token="${WORD}", model_path="${GONE}", layers=(1, 2), cache=BASE / "cache")


def test_an_instance_is_checked_like_a_table(kit: Kit) -> None:
    wrong: dict[str, Any] = {"path": 3}
    given: dict[str, Any] = {"conversations": "x", "greedy": 0, "adapters": (kit.adapter(**wrong), "x")}
    config = kit.model(**given)
    _, problems = Structurer(base_dir=BASE).structure(config, kit.model, "processor")
    assert [str(problem) for problem in problems] == [
        'processor.conversations: found "x" (a string); expected an integer from 1 to 64.',
        "processor.greedy: found 0 (an integer); expected true or false.",
        "processor.adapters.0.path: found 3 (an integer); expected a path (a string).",
        'processor.adapters.1: found "x" (a string); expected a table.',
    ]


def test_home_folders(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert read(kit, {"cache": "~/x"}).cache == Path("/home/ada/x")
    assert problems_of(kit, {"cache": "~nobody-has-this-name/x"}) == [
        'processor.cache: found "~nobody-has-this-name/x" (a string), '
        "and the home folder that it begins with is not known."
    ]


@attrs.frozen
class Particular:
    failure: str = setting("", help="What to raise.")
    even: int = attrs.field(default=2, validator=attrs.validators.in_([2, 4]))

    def __attrs_post_init__(self) -> None:
        raised = {"value": ValueError("no\nsuch"), "coda": CodaError("refused"), "other": KeyError("gone")}
        if self.failure:
            raise raised[self.failure]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"failure": "value"}, "no such"),
        ({"failure": "coda"}, "refused"),
        ({"failure": "other"}, "KeyError: gone"),
        ({"even": 3}, "'even' must be in [2, 4] (got 3)"),
    ],
)
def test_what_the_class_itself_refuses(table: dict[str, Any], message: str) -> None:
    config, problems = Structurer(base_dir=BASE).structure(table, Particular, "processor")
    assert config is None
    assert problems == [Problem("processor", message)]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["device", "levels", "conversations", "temperature", "greedy", "revision", "cache", "layers", "adapters", "else"]
)


@given(table=st.dictionaries(NAMES, VALUES, max_size=4))
def test_any_table_becomes_a_config_of_the_right_types_or_problems(kit: Kit, table: dict[str, Any]) -> None:
    config, problems = Structurer(base_dir=BASE, environ={}).structure(table, kit.model, "processor")
    if config is None:
        assert problems
        assert all(problem.key.split(".")[1] in table for problem in problems)
        return
    assert problems == []
    again, none = Structurer(base_dir=BASE).structure(config, kit.model, "processor")
    assert (again, none) == (config, [])
