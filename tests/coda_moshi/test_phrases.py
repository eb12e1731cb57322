from __future__ import annotations

import pytest

from coda_moshi.phrases import PhraseBuilder, joined_text
from coda_moshi.words import Word


def _word(text: str, frame: int = 0, *, continues: bool = False) -> Word:
    return Word(text=text, tokens=(1,), first_frame=frame, last_frame=frame, log_probability=-1.0, continues=continues)


def _builder() -> PhraseBuilder:
    return PhraseBuilder(pause_frames=10, most_words=5)


@pytest.mark.parametrize("end", ["no.", "no!", "no?", "no\u2026", 'no."', "no.)", "\u306f\u3044\u3002"])
def test_the_end_of_a_sentence_ends_a_phrase(end: str) -> None:
    builder = _builder()
    assert builder.add(_word("oh")) == ()
    assert joined_text(builder.add(_word(end))) == f"oh {end}"
    assert builder.peek() == ()


@pytest.mark.parametrize("text", ["no", "no,", "3.5", "no;", '"'])
def test_other_words_do_not(text: str) -> None:
    assert _builder().add(_word(text)) == ()


def test_a_pause_ends_a_phrase() -> None:
    builder = _builder()
    builder.add(_word("oh", 5))
    assert builder.wait(14) == ()
    assert joined_text(builder.wait(15)) == "oh"
    assert builder.wait(100) == ()


def test_a_phrase_holds_so_many_words_at_most() -> None:
    builder = _builder()
    assert [len(builder.add(_word("oh"))) for _ in range(10)] == [0, 0, 0, 0, 5] * 2


def test_text_that_continues_gets_no_space() -> None:
    words = (_word("al", continues=True), _word("though", continues=True), _word("so"), _word(".", continues=True))
    assert joined_text(words) == "although so."
