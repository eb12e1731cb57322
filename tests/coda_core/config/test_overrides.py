from __future__ import annotations

from typing import Any

import pytest

from coda_core.config.overrides import apply_overrides


def applied(document: dict[str, Any], *overrides: str) -> dict[str, Any]:
    _, problems = apply_overrides(document, overrides)
    assert problems == []
    return document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("0.5", 0.5),
        ("true", True),
        ('"12"', "12"),
        ("[1, 2]", [1, 2]),
        ("{ a = 1 }", {"a": 1}),
        ("cpu", "cpu"),
        ("", ""),
        ("a=b", "a=b"),
        ("conversations.db", "conversations.db"),
        ("1\nother = 2", "1\nother = 2"),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_a_value_is_toml_or_else_a_string(text: str, value: object) -> None:
    assert applied({}, f"processor.x={text}") == {"processor": {"x": value}}


def test_values_are_replaced_and_tables_are_made() -> None:
    document = {"processor": {"use": "moshi", "device": "cuda"}}
    applied(document, "processor.device=cpu", "state_store.use=sqlite", " processor . seed = 3")
    assert document == {
        "processor": {"use": "moshi", "device": "cpu", "seed": 3},
        "state_store": {"use": "sqlite"},
    }


def test_a_number_says_which_of_several_tables() -> None:
    document: dict[str, Any] = {"transport": [{"use": "file"}, {"use": "websocket"}]}
    keys, problems = apply_overrides(document, ["transport.1.port=9000", "transport.2.use=speaker"])
    assert document == {"transport": [{"use": "file"}, {"use": "websocket", "port": 9000}, {"use": "speaker"}]}
    assert (keys, problems) == (["transport.1.port", "transport.2.use"], [])


def test_the_number_may_be_left_out_where_there_is_one_table() -> None:
    document: dict[str, Any] = {"transport": [{"use": "file"}], "monologue_extractor": {"use": "phrases"}}
    keys, problems = apply_overrides(document, ["transport.path=x", "monologue_extractor.mode=y"])
    assert document == {
        "transport": [{"use": "file", "path": "x"}],
        "monologue_extractor": {"use": "phrases", "mode": "y"},
    }
    assert (keys, problems) == (["transport.0.path", "monologue_extractor.mode"], [])


def test_a_table_that_is_not_there_yet() -> None:
    assert applied({}, "transport.0.port=1", "transport.1.port=2") == {"transport": [{"port": 1}, {"port": 2}]}
    assert applied({"transport": []}, "transport.port=1") == {"transport": [{"port": 1}]}
    assert applied({}, "monologue_extractor.mode=x") == {"monologue_extractor": {"mode": "x"}}
    assert applied({"transport": {"use": "a"}}, "transport.0.port=1") == {"transport": [{"use": "a", "port": 1}]}


def test_items_of_a_list() -> None:
    assert applied({"processor": {"layers": [1, 2]}}, "processor.layers.1=5", "processor.layers.2=6") == {
        "processor": {"layers": [1, 5, 6]}
    }


@pytest.mark.parametrize(
    ("override", "key", "message"),
    [
        ("processor.device", "processor.device", "expected KEY=VALUE, as in processor.device=cpu."),
        ("=cpu", "", "expected KEY=VALUE, as in processor.device=cpu."),
        ("processor..device=cpu", "processor..device", "expected KEY=VALUE, as in processor.device=cpu."),
        (
            "processor.device.index=1",
            "processor.device.index",
            "processor.device holds a string and has no settings in it.",
        ),
        ("transport.port=1", "transport.port", "there are 2 of transport; say which, from transport.0 to transport.1."),
        (
            "transport.3.port=1",
            "transport.3.port",
            "transport has 2 items, counted from 0; the next would be 2.",
        ),
    ],
)
def test_a_path_that_leads_nowhere(override: str, key: str, message: str) -> None:
    document: dict[str, Any] = {"processor": {"device": "cpu"}, "transport": [{"use": "a"}, {"use": "b"}]}
    before = repr(document)
    keys, problems = apply_overrides(document, [override, "stack.name=x"])
    assert [(problem.key, problem.message) for problem in problems] == [(f"--set {key}", message)]
    assert keys == ["stack.name"]
    assert document.pop("stack") == {"name": "x"}
    assert repr(document) == before
