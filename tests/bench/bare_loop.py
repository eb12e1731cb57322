"""The loop that the benchmarks compare with: the `moshi` package alone, as its reference server uses it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from moshi.models import LMGen, loaders
from numpy.typing import NDArray

__all__ = ["BareLoop"]


class BareLoop:
    """Stock Mimi and `LMGen` on a checkpoint folder, for a batch of callers that all step together."""

    def __init__(self, folder: Path, batch: int, *, greedy: bool = False) -> None:
        names = json.loads((folder / "config.json").read_text())
        info = loaders.CheckpointInfo.from_hf_repo(
            folder.name,
            config_path=folder / "config.json",
            moshi_weights=folder / names["moshi_name"],
            mimi_weights=folder / names["mimi_name"],
            mimi_config_path=folder / names["mimi_config_name"],
            tokenizer=folder / names["tokenizer_name"],
        )
        self._mimi = info.get_mimi(device="cpu")
        lm = info.get_moshi(device="cpu", dtype=torch.float32)
        self._generator = LMGen(lm, use_sampling=not greedy, **info.lm_gen_config)
        self._mimi.streaming_forever(batch)
        self._generator.streaming_forever(batch)
        self._began = False

    def reset(self) -> None:
        """Start anew, as with nothing heard and said yet."""
        self._mimi.reset_streaming()
        self._generator.reset_streaming()
        self._began = False

    @torch.no_grad()
    def step(self, frames: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
        """Step ``[batch, 1920]``; return text tokens ``[batch]`` and PCM ``[batch, 1920]``, None before the first."""
        codes = self._mimi.encode(torch.from_numpy(frames[:, None]))
        if not self._began:
            self._mimi.reset_streaming()
            self._began = True
        tokens = self._generator.step(codes)
        return None if tokens is None else (tokens[:, 0, 0].numpy(), self._mimi.decode(tokens[:, 1:])[:, 0].numpy())

    def run(self, pcm: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Step frames ``[batch, steps, 1920]`` from a fresh start.

        Returns text tokens ``[batch, steps - delay]`` and PCM ``[batch, steps - delay, 1920]``.
        """
        self.reset()
        answers = [answer for frames in pcm.swapaxes(0, 1) if (answer := self.step(frames)) is not None]
        text, voice = zip(*answers, strict=True)
        return np.stack(text, axis=1), np.stack(voice, axis=1)
