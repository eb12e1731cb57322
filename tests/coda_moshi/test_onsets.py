from __future__ import annotations

from coda_core.text import Vocabulary
from coda_moshi.injection_rule import InjectionRule
from coda_moshi.onsets import Wish, wishes

_VOCABULARY = Vocabulary(
    pieces=(b"", b"", b"", b"", b"hello", b"ing", b"."),
    word_starts=frozenset({4, 6}),
    padding=3,
    end_of_padding=0,
    silent=frozenset({1, 2}),
)
N, A, B = Wish.NOTHING, Wish.ANNOUNCE, Wish.BEGIN


def test_each_token_says_what_a_model_would_do() -> None:
    assert wishes(_VOCABULARY, 7, InjectionRule()).tolist() == [A, N, N, N, B, N, B]


def test_a_checkpoint_has_pieces_that_begin_nothing() -> None:
    assert wishes(_VOCABULARY, 7, InjectionRule(not_onsets=(".",))).tolist() == [A, N, N, N, B, N, N]


def test_tokens_beyond_the_tokenizer_begin_nothing() -> None:
    assert wishes(_VOCABULARY, 9, InjectionRule()).tolist()[7:] == [N, N]
