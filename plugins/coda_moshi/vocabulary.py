"""Reading a SentencePiece model into the vocabulary that extractors use."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sentencepiece

from coda_core.errors import ModelError
from coda_core.text import Vocabulary

__all__ = ["read_tokenizer", "read_vocabulary"]

_WORD_START: Final = "\N{LOWER ONE EIGHTH BLOCK}"
"""How SentencePiece writes a space."""


def read_tokenizer(path: Path) -> sentencepiece.SentencePieceProcessor:
    """Return a tokenizer; raises `ModelError` where the file is missing or no SentencePiece model."""
    try:
        return sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise ModelError(
            f"the tokenizer {path} cannot be read: it is missing or no SentencePiece model. "
            "Fetch the checkpoint again, or correct tokenizer_name in its config.json."
        ) from error


def read_vocabulary(path: Path, *, padding: int, end_of_padding: int) -> Vocabulary:
    """Return the pieces of a tokenizer as bytes; the two ids of padding are the language model's.

    Raises `ModelError` where the file is missing or no SentencePiece model.
    """
    tokenizer = read_tokenizer(path)
    pieces: list[bytes] = []
    word_starts: set[int] = set()
    silent: set[int] = set()
    for token in range(tokenizer.vocab_size()):
        piece: str = tokenizer.id_to_piece(token)
        if tokenizer.is_control(token) or tokenizer.is_unknown(token) or tokenizer.is_unused(token):
            silent.add(token)
            pieces.append(b"")
        elif tokenizer.is_byte(token):
            # Written as <0xE2>: a part of a character that has no piece of its own.
            pieces.append(bytes([int(piece[3:-1], 16)]))
        else:
            if piece.startswith(_WORD_START):
                word_starts.add(token)
            pieces.append(piece.removeprefix(_WORD_START).replace(_WORD_START, " ").encode())
    return Vocabulary(
        pieces=tuple(pieces),
        word_starts=frozenset(word_starts),
        padding=padding,
        end_of_padding=end_of_padding,
        silent=frozenset(silent),
    )
