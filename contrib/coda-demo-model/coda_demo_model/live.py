"""The model at work: the streaming loop of the moshi package, for many conversations at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt
import sentencepiece
import torch
from moshi.models import LMGen, LMModel, MimiModel, loaders

from coda_demo_model.architecture import END_OF_PADDING, PADDING
from coda_demo_model.export import CONFIG
from coda_demo_model.tokenizer import STOP
from coda_demo_model.voice import FRAME

__all__ = ["Checkpoint", "Conversation", "SpokenWord", "converse", "load_checkpoint"]

_WORD_START: Final = "\N{LOWER ONE EIGHTH BLOCK}"


@attrs.frozen(eq=False)
class Checkpoint:
    """A checkpoint folder, loaded as moshi loads any."""

    mimi: MimiModel
    lm: LMModel
    tokenizer: sentencepiece.SentencePieceProcessor
    sampling: dict[str, float]
    """The checkpoint's own recommendation."""


@attrs.frozen
class SpokenWord:
    """A word of the inner monologue."""

    frame: int
    """The step of the loop whose output, 80 ms of audio, the word begins in."""
    text: str


@attrs.frozen(eq=False)
class Conversation:
    """What the model said in one conversation."""

    tokens: tuple[int, ...]
    """[steps]; those of the first step, which has no output, are padding."""
    words: tuple[SpokenWord, ...]
    audio: npt.NDArray[np.float32]
    """[steps * 1920], aligned with what the model heard."""

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


def load_checkpoint(folder: Path) -> Checkpoint:
    """Load a checkpoint folder onto the CPU with moshi's loaders."""
    found = loaders.CheckpointInfo.from_hf_repo(
        str(folder),
        moshi_weights=folder / CONFIG["moshi_name"],
        mimi_weights=folder / CONFIG["mimi_name"],
        tokenizer=folder / CONFIG["tokenizer_name"],
        config_path=folder / "config.json",
        mimi_config_path=folder / CONFIG["mimi_config_name"],
    )
    return Checkpoint(
        found.get_mimi(device="cpu"),
        found.get_moshi(device="cpu", dtype=torch.float32),
        found.get_text_tokenizer(),
        found.lm_gen_config,
    )


@torch.no_grad()
def converse(
    checkpoint: Checkpoint,
    heard: npt.NDArray[np.float32],
    *,
    seed: int = 0,
    text_hook: Callable[[torch.Tensor], None] | None = None,
) -> list[Conversation]:
    """Return what the model says to each of several callers, `heard` [B, n] at 24 kHz, all in one batch.

    `text_hook` may change the text tokens [B] of a step in place, before audio is made for them.
    """
    torch.manual_seed(seed)
    mimi = checkpoint.mimi
    mimi.set_num_codebooks(checkpoint.lm.dep_q)
    generator = LMGen(checkpoint.lm, **checkpoint.sampling, on_text_hook=text_hook)
    steps = heard.shape[1] // FRAME
    blocks = torch.from_numpy(np.ascontiguousarray(heard[:, : steps * FRAME])).reshape(len(heard), steps, FRAME)
    tokens: list[npt.NDArray[np.int64]] = []
    audio: list[npt.NDArray[np.float32]] = []
    with mimi.streaming(len(heard)), generator.streaming(len(heard)):
        for step in range(steps):
            made = generator.step(mimi.encode(blocks[:, step : step + 1]))
            if made is None:
                tokens.append(np.full(len(heard), PADDING))
                audio.append(np.zeros((len(heard), FRAME), np.float32))
            else:
                tokens.append(made[:, 0, 0].numpy())
                audio.append(mimi.decode(made[:, 1:])[:, 0].numpy())
    sound = np.concatenate(audio, axis=1)
    return [
        Conversation(tuple(row), _words(row, checkpoint.tokenizer), sound[place])
        for place, row in enumerate(np.stack(tokens, axis=1).tolist())
    ]


def _words(tokens: Sequence[int], tokenizer: sentencepiece.SentencePieceProcessor) -> tuple[SpokenWord, ...]:
    words: list[SpokenWord] = []
    for frame, token in enumerate(tokens):
        piece = "" if token in (PADDING, END_OF_PADDING) else tokenizer.id_to_piece(int(token))
        if piece.startswith(_WORD_START):
            words.append(SpokenWord(frame, piece.removeprefix(_WORD_START)))
        elif piece and piece != STOP and words:
            words[-1] = SpokenWord(words[-1].frame, words[-1].text + piece)
    return tuple(words)
