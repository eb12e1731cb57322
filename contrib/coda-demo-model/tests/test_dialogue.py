"""Composed conversations keep the rules of speaking."""

from __future__ import annotations

import numpy as np
import pytest

from coda_demo_model.architecture import CODEBOOKS, END_OF_PADDING, PADDING
from coda_demo_model.codes import Codes, EncodedCall, EncodedSentence
from coda_demo_model.dialogue import FRAMES, REPLY_AFTER, STOP_AFTER, Dialogues, Scene
from coda_demo_model.tokenizer import STOP, load_tokenizer, word_tokens

SILENCE = np.arange(CODEBOOKS, dtype=np.int16)


def _sentence(text: str) -> EncodedSentence:
    """Return a sentence of three frames a word, and two frames of silence that still differ."""
    words = len(text.split())
    codes = np.full((CODEBOOKS, 3 * words + 2), 100, np.int16)
    return EncodedSentence(text, codes, tuple(range(0, 3 * words, 3)), 3 * words)


def _call(intent: str) -> EncodedCall:
    return EncodedCall(intent, np.full((CODEBOOKS, 14), 200, np.int16), 2.3, 7.6, ((2.3, "good"), (5.0, "morning")))


@pytest.fixture
def codes() -> Codes:
    return Codes(
        silence=SILENCE,
        replies={"hello": _sentence("hello i am coda"), "name": _sentence("my name is coda")},
        drawn=(_sentence("green fish"),),
        calls=(_call("hello"), _call("name")),
        chatter=(_call(""),),
        backgrounds=(np.full((CODEBOOKS, 30), 300, np.int16),),
    )


@pytest.fixture
def scene(codes: Codes) -> Scene:
    return Scene(codes, {"good": 1, "morning": 2}, load_tokenizer().piece_to_id(STOP), np.random.default_rng(0))


def test_words_start_on_their_frames_with_the_end_of_padding_before(scene: Scene) -> None:
    assert scene.speak(10, _sentence("hello i am")) == 19
    hello, i, am = word_tokens("hello i am")
    stop = load_tokenizer().piece_to_id(STOP)
    end, pad = END_OF_PADDING, PADDING
    assert scene.text[8:20].tolist() == [pad, end, hello, pad, end, i, pad, end, am, stop, pad, pad]
    assert (scene.own[:, 10:21] == 100).all()
    assert (scene.own[:, 21:] == SILENCE[:, None]).all()


def test_no_loss_is_taken_on_what_nothing_foretells(scene: Scene) -> None:
    scene.speak(10, _sentence("hello i am"), foretold=False)
    assert scene.weights[[9, 10, 13, 16, 17]].tolist() == [0] * 5
    assert (scene.weights[[11, 12, 15]] > 0).all()


def test_a_broken_off_sentence_leaves_nothing_behind(scene: Scene) -> None:
    assert scene.speak(10, _sentence("hello i am"), cut=4) == 14
    assert (scene.own[:, 14:] == SILENCE[:, None]).all()
    assert (scene.text[14:] == PADDING).all()


def test_a_call_begins_in_its_frame_and_names_its_words_later(scene: Scene) -> None:
    assert scene.hear(20, _call("hello")) == 18 + 8
    assert (scene.heard[:, 18:32] == 200).all()
    assert scene.words[23:29].tolist() == [1, 1, 1, 2, 2, 2]


def test_every_drawn_conversation_keeps_its_shape_and_vocabulary(codes: Codes) -> None:
    dialogues = Dialogues(codes, ["good", "morning"])
    for seed in range(40):
        drawn = dialogues.draw(np.random.default_rng(seed))
        assert drawn.tokens.shape == (1 + 2 * CODEBOOKS, FRAMES)
        assert drawn.weights.shape == drawn.words.shape == (FRAMES,)
        assert (drawn.weights >= 0).all()
        assert 0 <= drawn.tokens.min() <= drawn.tokens.max() < 518


def test_the_same_bits_draw_the_same_conversation(codes: Codes) -> None:
    first, second = (Dialogues(codes, ["good"]).draw(np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first.tokens, second.tokens)
    assert np.array_equal(first.weights, second.weights)


def test_a_reply_waits_for_the_caller_and_stops_for_the_caller(codes: Codes) -> None:
    dialogues = Dialogues(codes, ["good"])
    openings = {word_tokens("hello")[0], word_tokens("my")[0]}
    for seed in range(40):
        drawn = dialogues.draw(np.random.default_rng(seed))
        for frame in np.flatnonzero(np.isin(drawn.tokens[0], list(openings))):
            # The call's last sound is in the frame before the wait.
            assert frame >= REPLY_AFTER + 5
    assert STOP_AFTER * 0.08 + 0.08 < 0.5
