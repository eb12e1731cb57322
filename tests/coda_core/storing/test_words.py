"""What a search asks for."""

from __future__ import annotations

import pytest

from coda_core.storing.words import Wanted, folded, holds, wanted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, World!", ["hello", "world"]),
        ("Crème brûlée", ["creme", "brulee"]),
        ("don't", ["don", "t"]),
        ("snake_case 42", ["snake", "case", "42"]),
        ("こんにちは", ["こんにちは"]),
        ("... !", []),
    ],
)
def test_folding(text: str, words: list[str]) -> None:
    assert folded(text) == words


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("", []),
        ("!!! -", []),
        ("two words", [Wanted(("two",), False), Wanted(("words",), False)]),
        ('"side by side" else', [Wanted(("side", "by", "side"), False), Wanted(("else",), False)]),
        ("wea*", [Wanted(("wea",), True)]),
        ('half" open', [Wanted(("half",), False), Wanted(("open",), False)]),
        (
            "AND OR NOT NEAR(x)",
            [Wanted((word,), False) for word in ("AND", "OR", "NOT")] + [Wanted(("NEAR", "x"), False)],
        ),
    ],
)
def test_asking(text: str, asked: list[Wanted]) -> None:
    assert wanted(text) == asked


def test_holding() -> None:
    text = folded("the weather is not the weather")
    assert holds(text, Wanted(("weather",), False))
    assert holds(text, Wanted(("not", "the", "weather"), False))
    assert not holds(text, Wanted(("the", "not"), False))
    assert not holds(text, Wanted(("weath",), False))
    assert holds(text, Wanted(("the", "weath"), True))
    assert holds(folded("Crème BRÛLÉE"), Wanted(("creme", "Brûlée"), False))
    assert not holds([], Wanted(("a",), False))
