"""Extracted text as an event, and the vocabulary."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from coda_core.events import event_from_json, event_to_json
from coda_core.text import ExtractedText, Speaker, TextUnit, Vocabulary

finite = st.floats(allow_nan=False, allow_infinity=False)
speakers: st.SearchStrategy[Speaker] = st.sampled_from(("moshi", "caller"))
units: st.SearchStrategy[TextUnit] = st.sampled_from(("word", "phrase"))
texts = st.builds(
    ExtractedText,
    conversation=st.text(),
    sequence=st.integers(0),
    frame=st.none() | st.integers(0),
    time_s=finite,
    text=st.text(),
    start_s=finite,
    end_s=finite,
    confidence=st.floats(0, 1),
    speaker=speakers,
    unit=units,
    tokens=st.lists(st.integers(0, 2**31)).map(tuple),
    injected=st.booleans(),
    extractor=st.text(),
)

VOCABULARY = Vocabulary(
    pieces=(b"", b"", b"hello", b"", b"\xe2", b" world"),
    word_starts=frozenset({2, 5}),
    padding=3,
    end_of_padding=0,
    silent=frozenset({1}),
)


@given(texts)
def test_extracted_text_comes_back_from_json_equal(text: ExtractedText) -> None:
    back = event_from_json(event_to_json(text))
    assert back == text
    assert isinstance(back, ExtractedText)
    assert type(back.tokens) is tuple


def test_extracted_text_in_json_is_what_readers_of_a_transcript_expect() -> None:
    text = ExtractedText(
        conversation="c",
        sequence=4,
        frame=10,
        time_s=2.5,
        text="Hi",
        start_s=0.8,
        end_s=0.96,
        confidence=0.75,
        tokens=(2, 5),
        extractor="inner-monologue",
    )
    assert json.loads(event_to_json(text)) == {
        "type": "text",
        "version": 1,
        "conversation": "c",
        "sequence": 4,
        "frame": 10,
        "time_s": 2.5,
        "text": "Hi",
        "start_s": 0.8,
        "end_s": 0.96,
        "confidence": 0.75,
        "speaker": "moshi",
        "unit": "word",
        "tokens": [2, 5],
        "injected": False,
        "extractor": "inner-monologue",
    }


def test_text_tokens_are_those_that_stand_for_something_said() -> None:
    assert [token for token in range(-2, 9) if VOCABULARY.is_text(token)] == [2, 4, 5]
    assert np.flatnonzero(VOCABULARY.are_text(np.arange(-3, 12))).tolist() == [5, 7, 8]
