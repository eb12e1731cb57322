from __future__ import annotations

import io
from pathlib import Path

import pytest
import sentencepiece

from coda_core.errors import ModelError
from coda_moshi.vocabulary import read_vocabulary


@pytest.fixture(scope="module")
def tokenizer(tiny_folder: Path) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_file=str(tiny_folder / "tokenizer.model"))


def test_pieces_spell_what_was_encoded(tiny_folder: Path, tokenizer: sentencepiece.SentencePieceProcessor) -> None:
    vocabulary = read_vocabulary(tiny_folder / "tokenizer.model", padding=3, end_of_padding=0)
    text = "hello café \N{SNOWMAN} you"
    tokens = tokenizer.encode(text)
    words: list[bytes] = []
    for token in tokens:
        assert vocabulary.is_text(token)
        if token in vocabulary.word_starts:
            words.append(b"")
        words[-1] += vocabulary.pieces[token]
    assert [word.decode() for word in words] == text.split()


def test_special_ids_stand_for_no_text(tiny_folder: Path) -> None:
    vocabulary = read_vocabulary(tiny_folder / "tokenizer.model", padding=3, end_of_padding=0)
    assert len(vocabulary.pieces) == 512
    assert (vocabulary.padding, vocabulary.end_of_padding) == (3, 0)
    assert vocabulary.silent == {0, 1, 2, 3}
    assert not any(vocabulary.is_text(token) for token in (-2, 0, 1, 2, 3, 512))
    assert vocabulary.pieces[4] == b"\x00"


def test_a_mark_inside_a_piece_is_a_space(tmp_path: Path) -> None:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["of the sea of the sea of the sea"] * 20),
        model_writer=model,
        vocab_size=20,
        model_type="bpe",
        split_by_whitespace=False,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (tmp_path / "tokenizer.model").write_bytes(model.getvalue())
    vocabulary = read_vocabulary(tmp_path / "tokenizer.model", padding=3, end_of_padding=0)
    spaced = [token for token, piece in enumerate(vocabulary.pieces) if b" " in piece]
    assert spaced
    assert not any(b"\xe2\x96\x81" in piece for piece in vocabulary.pieces)


@pytest.mark.parametrize("content", [None, b"", b"not a model"])
def test_a_tokenizer_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "tokenizer.model"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"the tokenizer .*tokenizer.model cannot be read"):
        read_vocabulary(path, padding=3, end_of_padding=0)
