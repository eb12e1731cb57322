"""The model's voice keeps to its frames."""

from __future__ import annotations

import numpy as np

from coda_demo_model.voice import FRAME, say, say_word


def test_a_word_sounds_the_same_wherever_it_stands() -> None:
    alone = say_word("fish", last=False)
    sentence = say("the fish is here")
    start = sentence.starts[1]
    assert np.array_equal(sentence.audio[start * FRAME : (start + alone.frames) * FRAME], alone.audio)


def test_both_forms_of_a_word_share_their_first_frame() -> None:
    within, last = say_word("fish", last=False), say_word("fish", last=True)
    assert np.array_equal(within.pulses[:1], last.pulses[:1])
    assert np.allclose(within.audio[: FRAME // 2], last.audio[: FRAME // 2], atol=1e-3)
    assert last.frames == within.frames + 1
    assert last.pulses[-1] < within.pulses[-1]


def test_a_sentence_is_its_words_end_to_end() -> None:
    sentence = say("the fish")
    assert len(sentence.audio) == sentence.frames * FRAME
    assert len(sentence.pulses) == sentence.frames
    assert sentence.starts == (0, sentence.words[0].frames)
    assert all(word.frames >= 2 for word in sentence.words)
    assert 0.05 < np.abs(sentence.audio).max() <= 1
