"""Stage `export`: a checkpoint folder in the released file format, at half precision."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file

from coda_demo_model.architecture import LM, MIMI
from coda_demo_model.tokenizer import STOP, make_tokenizer

__all__ = ["CONFIG", "folded", "write_checkpoint"]

CONFIG: Final[Mapping[str, Any]] = {
    "model_type": "moshi",
    "moshi_name": "moshi.safetensors",
    "mimi_name": "mimi.safetensors",
    "mimi_config_name": "mimi_config.json",
    "tokenizer_name": "tokenizer.model",
    "lm_gen_config": {"temp": 0.2, "temp_text": 0.2, "top_k": 10, "top_k_text": 5},
    **LM,
}
"""``config.json``: the language model, the names of the files, and how to sample."""

INJECTION: Final[Mapping[str, Any]] = {
    "announce": True,
    "not_onsets": [STOP],
    "settle_frames": 0,
    "gap_frames": 14,
    "ending": STOP,
    "lower_case": True,
    "left_out": ".,;:?!-",
    "whole_words": True,
}
"""How this checkpoint speaks a given text, in the terms of Coda's injection; explained in the README."""


def folded(codec: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a codec's state with the centroids themselves in place of sums and counts, which half precision spoils."""
    state = dict(codec)
    for name in codec:
        if name.endswith("cluster_usage"):
            sums = name.removesuffix("cluster_usage") + "embedding_sum"
            state[sums] = codec[sums] / codec[name].clamp(min=1e-5)[:, None]
            state[name] = torch.ones_like(codec[name])
    return state


def write_checkpoint(folder: Path, codec: Mapping[str, torch.Tensor], model: Mapping[str, torch.Tensor]) -> None:
    """Write the checkpoint from the states of both models; a folder of that name is replaced."""
    making = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    _save(folded(codec), making / CONFIG["mimi_name"])
    _save(model, making / CONFIG["moshi_name"])
    (making / CONFIG["tokenizer_name"]).write_bytes(make_tokenizer())
    (making / CONFIG["mimi_config_name"]).write_text(json.dumps(dict(MIMI), indent=1) + "\n")
    (making / "config.json").write_text(json.dumps(dict(CONFIG), indent=1) + "\n")
    (making / "coda.json").write_text(json.dumps({"injection": dict(INJECTION)}, indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    making.rename(folder)


def _save(state: Mapping[str, torch.Tensor], path: Path) -> None:
    save_file({name: value.detach().half().contiguous() for name, value in state.items()}, path)
