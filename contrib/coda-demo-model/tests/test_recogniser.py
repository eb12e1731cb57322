"""The judge hears what the voice says."""

from __future__ import annotations

import numpy as np
import pytest

from coda_demo_model.recogniser import Recogniser, pick_sentence, word_errors
from coda_demo_model.voice import say

SENTENCES = ("one two three four five", "yes i love music", "goodbye see you soon")


@pytest.mark.parametrize("sentence", SENTENCES)
def test_it_picks_the_sentence_that_was_said(sentence: str) -> None:
    assert pick_sentence(say(sentence).audio, SENTENCES) == sentence


def test_silence_is_no_sentence() -> None:
    assert pick_sentence(np.zeros(24_000, np.float32), SENTENCES) == ""
    assert Recogniser(["one", "two"]).words(np.zeros(24_000, np.float32)) == []


def test_words_without_a_pronunciation_are_named() -> None:
    with pytest.raises(ValueError, match="qwertz"):
        Recogniser(["one", "qwertz"])


@pytest.mark.parametrize(("heard", "errors"), [("a b c", 0), ("a c", 1), ("a x c", 1), ("a b c d", 1), ("", 3)])
def test_errors_are_counted_as_edits(heard: str, errors: int) -> None:
    assert word_errors(["a", "b", "c"], heard.split()) == errors
