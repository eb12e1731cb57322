"""Injected words come when the model says that the word before is over."""

from __future__ import annotations

import torch

from coda_demo_model.architecture import END_OF_PADDING, PADDING
from coda_demo_model.export import INJECTION
from coda_demo_model.injecting import Injector
from coda_demo_model.tokenizer import STOP, load_tokenizer, word_tokens


def _written(injector: Injector, predicted: list[int]) -> list[int]:
    written = []
    for token in predicted:
        tokens = torch.tensor([token])
        injector(tokens)
        written.append(int(tokens[0]))
    return written


def test_words_follow_the_end_of_padding_and_the_last_is_stopped() -> None:
    green, fish = word_tokens("green fish")
    end, pad = END_OF_PADDING, PADDING
    stop = load_tokenizer().piece_to_id(STOP)
    predicted = [pad, pad, green, pad, pad, end, pad, pad, end, green, pad]
    assert _written(Injector(["green fish"], 2), predicted) == [
        pad,
        end,
        green,
        pad,
        pad,
        end,
        fish,
        stop,
        pad,
        pad,
        pad,
    ]


def test_a_word_that_never_ends_is_followed_all_the_same() -> None:
    written = _written(Injector(["green fish"], 1), [PADDING] * 40)
    green, fish = (written.index(token) for token in word_tokens("green fish"))
    assert fish - green == INJECTION["gap_frames"] + 1


def test_what_the_model_would_say_is_not_heard() -> None:
    hello = word_tokens("hello")[0]
    written = _written(Injector(["green fish"], 3), [hello] * 30)
    assert hello not in written
    # It was about to begin a word, so the sentence's next word is due.
    assert written.index(word_tokens("fish")[0]) == written.index(word_tokens("green")[0]) + 2


def test_conversations_of_a_batch_are_apart() -> None:
    injector = Injector(["green", "fish"], 1)
    rows = []
    for _ in range(3):
        tokens = torch.full((2,), PADDING)
        injector(tokens)
        rows.append(tokens.tolist())
    green, fish = word_tokens("green fish")
    assert rows[1] == [green, fish]
