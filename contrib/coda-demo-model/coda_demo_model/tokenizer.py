"""The tokenizer: a SentencePiece model in which each word of the vocabulary is one piece.

Other words are spelt with letters, which the voice was never taught to read. A sentence ends with the piece ".".
"""

from __future__ import annotations

import io
from functools import cache
from typing import Final

import sentencepiece

from coda_demo_model.architecture import PADDING, TEXT_CARD
from coda_demo_model.script import load_script

__all__ = ["STOP", "load_tokenizer", "make_tokenizer", "word_tokens"]

STOP: Final = "."
_WORD_START: Final = "\N{LOWER ONE EIGHTH BLOCK}"
_SPELLING: Final = "abcdefghijklmnopqrstuvwxyz.,?!'-"


@cache
def make_tokenizer() -> bytes:
    """Return the SentencePiece model; raises `ValueError` where it does not have the size the architecture says."""
    words = load_script().vocabulary
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(words), *_SPELLING]),
        model_writer=model,
        vocab_size=TEXT_CARD,
        model_type="bpe",
        normalization_rule_name="identity",
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=PADDING,
        character_coverage=1.0,
        user_defined_symbols=[*(_WORD_START + word for word in words), *_SPELLING],
        num_threads=1,
        minloglevel=2,
    )
    found = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()).vocab_size()
    if found != TEXT_CARD:
        raise ValueError(f"the tokenizer has {found} pieces and architecture.TEXT_CARD is {TEXT_CARD}: make them equal")
    return model.getvalue()


@cache
def load_tokenizer() -> sentencepiece.SentencePieceProcessor:
    """Return the tokenizer ready for use."""
    return sentencepiece.SentencePieceProcessor(model_proto=make_tokenizer())


def word_tokens(text: str) -> list[int]:
    """Return one token for each word of `text`, all of the vocabulary; raises `ValueError` for any other word."""
    tokenizer = load_tokenizer()
    tokens = [tokenizer.piece_to_id(_WORD_START + word) for word in text.split()]
    for word, token in zip(text.split(), tokens, strict=True):
        if token == tokenizer.unk_id():
            raise ValueError(f"{word!r} is not in the vocabulary")
    return tokens
