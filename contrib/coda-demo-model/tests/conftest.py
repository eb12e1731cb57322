"""A run with every stage taken for a few steps, which several tests look at."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

os.environ.setdefault("NO_TORCH_COMPILE", "1")

from coda_demo_model.codes import CodesSize
from coda_demo_model.corpus import CorpusSize
from coda_demo_model.stages import Plan, Run

torch.set_num_threads(1)


def small_plan(max_steps: int = 2) -> Plan:
    return Plan(
        max_steps=max_steps,
        corpus=CorpusSize(calls_of_an_intent=1, drawn_sentences=2, own_words=0),
        codes=CodesSize(drawn_sentences=3, background_s=36),
    )


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run of which every stage has been taken once."""
    folder: Path = tmp_path_factory.mktemp("run")
    run = Run(folder, small_plan())
    for stage in (run.corpus, run.codec, run.codes, run.decoder, run.lm, run.export):
        stage()
    return run
