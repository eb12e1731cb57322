"""Starts the reference server, ``python -m moshi.server``, on a machine without CUDA.

Three things are changed, none of which slows it down: its call of `torch.cuda.synchronize` does nothing, the language
model is float32 as Coda's is on a CPU (it has options for two half precisions only, which are slower here), and an
operator has one thread, as Coda chooses for a small model. Arguments are the server's own.
"""

from __future__ import annotations

import runpy
from typing import Any

import torch
from moshi.models import LMModel, loaders


def main() -> None:
    load = loaders.CheckpointInfo.get_moshi

    def in_float32(info: loaders.CheckpointInfo, **arguments: Any) -> LMModel:
        return load(info, **{**arguments, "dtype": torch.float32})

    torch.cuda.synchronize = lambda device=None: None
    loaders.CheckpointInfo.get_moshi = in_float32
    torch.set_num_threads(1)
    runpy.run_module("moshi.server", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
