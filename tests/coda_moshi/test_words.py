from __future__ import annotations

import math
import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coda_core.text import Vocabulary
from coda_moshi.words import Word, WordAssembler, combined_confidence

_EPAD, _START, _PAD = 0, 1, 3
_HELLO, _WOR, _LD, _STOP, _MARK, _E2, _80, _99, _C3, _A9, _MARKED_STOP, _COMMA = range(4, 16)
_VOCABULARY = Vocabulary(
    pieces=(
        *(b"", b"", b"", b""),
        *(b"hello", b"wor", b"ld", b".", b""),
        *(b"\xe2", b"\x80", b"\x99", b"\xc3", b"\xa9"),
        *(b".", b","),
    ),
    word_starts=frozenset({_HELLO, _WOR, _MARK, _MARKED_STOP}),
    padding=_PAD,
    end_of_padding=_EPAD,
    silent=frozenset({_START, 2}),
)


def _words(tokens: list[int], *, settle_frames: int = 3) -> list[Word]:
    assembler = WordAssembler(_VOCABULARY, settle_frames)
    found = [assembler.feed(frame, token, 0.5) for frame, token in enumerate(tokens)]
    found.append(assembler.finish())
    return [word for word in found if word is not None]


def _texts(tokens: list[int]) -> list[str]:
    return [word.text for word in _words(tokens)]


def test_pieces_in_consecutive_frames_are_a_word() -> None:
    (word,) = _words([_PAD, _EPAD, _WOR, _LD, _PAD, _PAD, _PAD])
    assert word == Word(
        text="world",
        tokens=(_WOR, _LD),
        first_frame=2,
        last_frame=3,
        log_probability=2 * math.log(0.5),
        continues=False,
    )


@pytest.mark.parametrize("between", [[], [_PAD], [_PAD, _PAD], [_START, _PAD]])
def test_a_word_goes_on_over_padding(between: list[int]) -> None:
    (word,) = _words([_WOR, *between, _LD])
    assert word.text == "world"
    assert word.last_frame == 1 + len(between)


@pytest.mark.parametrize("settle_frames", [1, 2, 3, 10])
def test_a_word_is_delivered_as_soon_as_it_has_settled(settle_frames: int) -> None:
    assembler = WordAssembler(_VOCABULARY, settle_frames)
    assert assembler.feed(0, _HELLO, 0.5) is None
    assert assembler.building
    for frame in range(1, settle_frames):
        assert assembler.feed(frame, _PAD, 0.5) is None
    word = assembler.feed(settle_frames, _PAD, 0.5)
    assert word is not None
    assert word.text == "hello"
    assert not assembler.building


def test_the_next_word_and_end_of_padding_end_a_word_at_once() -> None:
    assembler = WordAssembler(_VOCABULARY, 3)
    assert assembler.feed(0, _HELLO, 0.5) is None
    first = assembler.feed(1, _WOR, 0.5)
    assert first is not None
    assert first.text == "hello"
    second = assembler.feed(2, _EPAD, 0.5)
    assert second is not None
    assert second.text == "wor"


def test_punctuation_belongs_to_the_word_before() -> None:
    assert _texts([_HELLO, _COMMA, _WOR, _LD, _STOP, _STOP, _STOP]) == ["hello,", "world..."]
    assert _texts([_HELLO, _PAD, _MARKED_STOP, _WOR]) == ["hello.", "wor"]


def test_punctuation_that_comes_too_late_is_a_text_that_continues() -> None:
    hello, stop = _words([_HELLO, _PAD, _PAD, _PAD, _PAD, _MARKED_STOP])
    assert (hello.continues, stop.continues) == (False, True)
    assert _words([_HELLO, _MARK, _STOP])[1].continues


def test_a_piece_that_comes_too_late_is_a_word_that_continues() -> None:
    first, second = _words([_WOR, _PAD, _PAD, _PAD, _LD])
    assert (first.text, second.text) == ("wor", "ld")
    assert (first.continues, second.continues) == (False, True)
    assert (second.first_frame, second.last_frame) == (4, 4)


def test_a_character_spread_over_pieces_and_padding_is_whole() -> None:
    spread = [_HELLO, _E2, _PAD, _PAD, _PAD, _PAD, _80, _EPAD, _99, _PAD, _PAD, _PAD]
    assert _texts(spread) == ["hello\u2019"]
    assert _texts([_MARK, _C3, _A9, _LD]) == ["\u00e9ld"]


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    assert _texts([_HELLO, _E2, _80, _WOR]) == ["hello\ufffd", "wor"]
    assert _texts([_99, _HELLO]) == ["\ufffd", "hello"]


def test_a_mark_without_text_is_no_word_but_parts_words() -> None:
    assert _words([_MARK, _PAD, _PAD, _PAD, _MARK, _EPAD, _PAD, _MARK]) == []
    hello, ld = _words([_HELLO, _MARK, _PAD, _PAD, _PAD, _PAD, _LD])
    assert (hello.text, ld.text, ld.continues) == ("hello", "ld", False)


def test_white_space_in_pieces_parts_words_too() -> None:
    hello, ld = _words([_HELLO, _E2, _80, _80, _PAD, _PAD, _PAD, _LD])
    assert (hello.text, ld.text, ld.continues) == ("hello", "ld", False)


@pytest.mark.parametrize("token", [-2, -1, 1, 2, 3, 16, 10**9])
def test_what_stands_for_no_text_is_waiting(token: int) -> None:
    assert _texts([_WOR, token, _LD]) == ["world"]


def test_a_word_cannot_grow_without_end() -> None:
    for piece in (_LD, _C3, _E2):
        words = _words([_WOR] + [piece] * 10_000)
        assert max(len(word.tokens) for word in words) <= 67
        assert sum(len(word.tokens) for word in words) == 10_001
        assert [word.continues for word in words] == [False] + [True] * (len(words) - 1)


def test_confidence_is_the_geometric_mean_over_all_tokens() -> None:
    assembler = WordAssembler(_VOCABULARY, 3)
    for frame, (token, probability) in enumerate([(_HELLO, 0.9), (_COMMA, 0.1)]):
        assembler.feed(frame, token, probability)
    first = assembler.feed(2, _WOR, 0.5)
    second = assembler.finish()
    assert first is not None
    assert second is not None
    assert combined_confidence([first]) == pytest.approx(0.3)
    assert combined_confidence([second]) == pytest.approx(0.5)
    assert combined_confidence([first, second]) == pytest.approx((0.9 * 0.1 * 0.5) ** (1 / 3))


@pytest.mark.parametrize("probability", [0.0, -1.0, math.nan, 1.0, 2.0])
def test_no_probability_makes_a_confidence_outside_its_range(probability: float) -> None:
    assembler = WordAssembler(_VOCABULARY, 3)
    assembler.feed(0, _HELLO, probability)
    word = assembler.finish()
    assert word is not None
    assert 0.0 <= combined_confidence([word]) <= 1.0
    assert (combined_confidence([word]) > 0.5) == (probability >= 1.0)


def test_looking_does_not_disturb() -> None:
    assembler = WordAssembler(_VOCABULARY, 3)
    assert assembler.peek() is None
    assembler.feed(0, _WOR, 0.5)
    seen = assembler.peek()
    assert seen is not None
    assert seen.text == "wor"
    assembler.feed(1, _LD, 0.5)
    finished = assembler.finish()
    assert finished is not None
    assert finished.text == "world"
    assert assembler.peek() is None


def _decoded(tokens: list[int]) -> str:
    """Decode as a SentencePiece model does: a mark is a space, bytes are joined."""
    data = b"".join(
        (b" " if token in _VOCABULARY.word_starts else b"") + _VOCABULARY.pieces[token]
        for token in tokens
        if _VOCABULARY.is_text(token)
    )
    return data.decode("utf-8", errors="replace")


def _normalised(text: str) -> str:
    return re.sub(r" +(?=[.,])", "", " ".join(text.split()))


_tokens = st.lists(st.one_of(st.sampled_from([_PAD, _EPAD]), st.integers(-2, 17)), max_size=60)


@given(tokens=_tokens, settle_frames=st.integers(1, 5))
@example(tokens=[_HELLO, _E2, _80, _80, _PAD, _E2], settle_frames=1)
def test_the_words_together_are_the_decoded_tokens(tokens: list[int], settle_frames: int) -> None:
    words = _words(tokens, settle_frames=settle_frames)
    joined = "".join(word.text if word.continues else f" {word.text}" for word in words)
    assert _normalised(joined) == _normalised(_decoded(tokens))


@given(tokens=_tokens, settle_frames=st.integers(1, 5))
def test_words_follow_each_other_in_time(tokens: list[int], settle_frames: int) -> None:
    words = _words(tokens, settle_frames=settle_frames)
    for word in words:
        assert 0 <= word.first_frame <= word.last_frame < len(tokens)
        assert word.tokens[0] == tokens[word.first_frame]
        assert word.tokens[-1] == tokens[word.last_frame]
    assert all(a.last_frame < b.first_frame for a, b in pairwise(words))


def test_a_word_ends_where_the_models_own_text_goes_on_behind_text_that_was_asked_for() -> None:
    assembler = WordAssembler(_VOCABULARY, 3)
    told = [(_WOR, True), (_LD, True), (_STOP, False), (_LD, False), (_LD, True), (_COMMA, True)]
    found = [assembler.feed(frame, token, 0.5, injected) for frame, (token, injected) in enumerate(told)]
    found.append(assembler.finish())
    words = [word for word in found if word is not None]
    assert [(word.text, word.injected, word.continues) for word in words] == [
        ("world.", True, False),
        ("ld", False, True),
        ("ld,", True, True),
    ]
