from __future__ import annotations

from pathlib import Path

import pytest
import sentencepiece

from coda_core.errors import ConversationError
from coda_moshi.injection_rule import InjectionRule
from coda_moshi.vocabulary import read_tokenizer
from coda_moshi.wording import Wording


@pytest.fixture(scope="module")
def tokenizer(tiny_folder: Path) -> sentencepiece.SentencePieceProcessor:
    return read_tokenizer(tiny_folder / "tokenizer.model")


@pytest.fixture(scope="module")
def wording(tokenizer: sentencepiece.SentencePieceProcessor) -> Wording:
    return Wording(tokenizer, InjectionRule())


@pytest.mark.parametrize("text", ["hello", "hello there\nyou", "  two   words ", "caf\u00e9 \u65e5\u672c \U0001f600"])
def test_every_word_is_encoded_by_itself(
    wording: Wording, tokenizer: sentencepiece.SentencePieceProcessor, text: str
) -> None:
    words = wording.spoken(text)
    assert [tokenizer.decode(list(word)) for word in words] == text.split()
    assert wording.written(text) == tuple(tokenizer.encode(text))


def test_a_checkpoint_may_want_an_ending(tokenizer: sentencepiece.SentencePieceProcessor) -> None:
    wording = Wording(tokenizer, InjectionRule(ending="."))
    assert tokenizer.decode(list(wording.spoken("well done")[-1])) == "done."
    assert tokenizer.decode(list(wording.spoken("well done?")[-1])) == "done?"


def test_a_checkpoint_may_know_neither_capitals_nor_signs(tokenizer: sentencepiece.SentencePieceProcessor) -> None:
    wording = Wording(tokenizer, InjectionRule(ending=".", lower_case=True, left_out=",-!"))
    assert wording.spoken("Hello, well-known!") == wording.spoken("hello well known")
    assert tokenizer.decode(list(wording.spoken("Well done!")[-1])) == "done."
    with pytest.raises(ConversationError, match="text is empty"):
        wording.spoken(" -, ")


def test_words_that_a_checkpoint_never_learnt_are_named(tokenizer: sentencepiece.SentencePieceProcessor) -> None:
    wording = Wording(tokenizer, InjectionRule(ending=".", whole_words=True))
    assert wording.spoken("you and i") == Wording(tokenizer, InjectionRule(ending=".")).spoken("you and i")
    with pytest.raises(ConversationError, match="never learnt to say qwertz, xylophone: give"):
        wording.spoken("you qwertz and xylophone qwertz")
    with pytest.raises(ConversationError, match="x9 and 2 more"):
        wording.spoken(" ".join(f"x{number}" for number in range(12)))


@pytest.mark.parametrize("text", ["", " \n "])
def test_nothing_is_no_text(wording: Wording, text: str) -> None:
    with pytest.raises(ConversationError, match="text is empty"):
        wording.spoken(text)
    with pytest.raises(ConversationError, match="text is empty"):
        wording.written(text)


def test_a_text_has_a_longest_length(wording: Wording) -> None:
    with pytest.raises(ConversationError, match="1000 are allowed"):
        wording.spoken("yes " * 1_001)
    with pytest.raises(ConversationError, match="60000 characters"):
        wording.spoken("a" * 60_000)
    with pytest.raises(ConversationError, match="1000 are allowed"):
        wording.written("yes " * 1_001)


def test_half_a_character_is_no_text(wording: Wording) -> None:
    with pytest.raises(ConversationError, match="no valid Unicode"):
        wording.spoken("yes \ud83d")


def test_characters_without_pieces_are_named(tmp_path: Path) -> None:
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["abc abd acd abcd bcd"] * 9),
        model_prefix=str(tmp_path / "small"),
        vocab_size=12,
        model_type="bpe",
        minloglevel=2,
    )
    wording = Wording(read_tokenizer(tmp_path / "small.model"), InjectionRule())
    assert wording.spoken("abc")
    with pytest.raises(ConversationError, match="no pieces for '\u00e9'"):
        wording.spoken("abc b\u00e9d")
