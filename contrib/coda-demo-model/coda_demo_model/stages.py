"""The stages in order: what each needs, what it leaves behind, and its share of the time."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import torch

from coda_demo_model.codec import new_codec, train_codec
from coda_demo_model.codes import CodesSize, codes_are_encoded, encode_all, load_codes
from coda_demo_model.corpus import CorpusSize, corpus_is_rendered, load_corpus, render_corpus
from coda_demo_model.decoder import averaged_codec, decoder_parts, train_decoder
from coda_demo_model.export import folded, write_checkpoint
from coda_demo_model.lm import new_language_model, train_language_model
from coda_demo_model.plots import plot_losses
from coda_demo_model.training import WeightAverage

__all__ = ["SHARES", "Plan", "Run", "train"]

_LOG: Final = logging.getLogger(__name__)

SHARES: Final[Mapping[str, float]] = {"codec": 0.34, "lm": 0.6, "decoder": 0.6}
"""Parts of the time; the language model and the decoder learn at the same time. Rendering and encoding, twenty minutes
with the corpus as it is, come on top."""


@attrs.frozen(kw_only=True)
class Plan:
    """What a run is made with; kept in its folder, so that a later command goes on with the same."""

    hours: float = 2.0
    seed: int = 1
    corpus: CorpusSize = CorpusSize()
    codes: CodesSize = CodesSize()
    max_steps: int | None = None
    """Of each trained stage; for trying things out."""
    stage_minutes: float | None = None
    """Of a stage that is run alone, in place of its share of the hours."""

    def minutes(self, stage: str) -> float:
        """Return the computing time of a trained stage."""
        return 60 * self.hours * SHARES[stage] if self.stage_minutes is None else self.stage_minutes


class Run:
    """A folder with everything that one training leaves behind."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self.plan = plan
        torch.set_flush_denormal(True)
        folder.mkdir(parents=True, exist_ok=True)
        described = json.dumps(
            attrs.asdict(attrs.evolve(plan, hours=0, max_steps=None, stage_minutes=None)), sort_keys=True
        )
        path = folder / "plan.json"
        if path.exists() and path.read_text() != described:
            raise ValueError(f"{folder} holds a run with another seed or corpus ({path.name}): take another folder")
        path.write_text(described)

    @property
    def checkpoint(self) -> Path:
        """The folder that `export` writes."""
        return self.folder / "checkpoint"

    def corpus(self) -> None:
        """Render all speech, unless it is there."""
        if not corpus_is_rendered(self.folder / "corpus"):
            render_corpus(self.folder / "corpus", self.plan.corpus, self.plan.seed)

    def codec(self) -> None:
        """Train encoder and quantiser until their time is spent."""
        corpus = load_corpus(self.folder / "corpus")
        train_codec(corpus, self.folder / "codec", minutes=self.plan.minutes("codec"), **self._common())

    def codes(self) -> None:
        """Encode everything with the codec as it is now, unless it has been done."""
        if not codes_are_encoded(self.folder / "codes"):
            corpus = load_corpus(self.folder / "corpus")
            encode_all(self._frozen_codec(), corpus, self.folder / "codes", self.plan.codes, self.plan.seed)

    def decoder(self) -> None:
        """Train the decoder until its time is spent."""
        load_corpus(self.folder / "corpus")
        codes = load_codes(self.folder / "codes")
        minutes = self.plan.minutes("decoder")
        train_decoder(self._frozen_codec(), codes, self.folder / "decoder", minutes=minutes, **self._common())

    def lm(self) -> None:
        """Train the language model until its time is spent."""
        codes = load_codes(self.folder / "codes")
        train_language_model(codes, self.folder / "lm", minutes=self.plan.minutes("lm"), **self._common())

    def export(self) -> None:
        """Write a checkpoint of what is learnt by now, with plots of the losses beside it; any time is right."""
        codec = self._frozen_codec()
        state = self._state("decoder")
        parts = decoder_parts(codec)
        if state is not None:
            average = WeightAverage(parts)
            average.load_state_dict(state["average"])
            weights = averaged_codec(codec, average)
        else:
            weights = codec.state_dict()
        model = new_language_model().state_dict()
        state = self._state("lm")
        if state is not None:
            model |= state["average"]["mean"]
        write_checkpoint(self.checkpoint, weights, model)
        plot_losses(self.folder)

    def _common(self) -> dict[str, Any]:
        return {"seed": self.plan.seed, "max_steps": self.plan.max_steps}

    def _state(self, stage: str) -> dict[str, Any] | None:
        path = self.folder / stage / "state.pt"
        if not path.exists():
            return None
        parts: dict[str, Any] = torch.load(path, weights_only=True)["parts"]
        return parts

    def _frozen_codec(self) -> Any:
        """Return the trained codec with the encoder and codes that are exported, rounded as they are there."""
        state = self._state("codec")
        if state is None:
            raise FileNotFoundError(f"{self.folder / 'codec'} holds no trained codec: run the stage codec first")
        codec = new_codec()
        codec.load_state_dict({name: value.half().float() for name, value in folded(state["codec"]).items()})
        return codec


def train(run: Run) -> None:
    """Run all stages that are not finished, the decoder and the language model side by side, and export."""
    for stage in (run.corpus, run.codec, run.codes):
        _LOG.info("stage %s", stage.__name__)
        stage()
    _LOG.info("stages decoder and lm")
    beside = subprocess.Popen(_command("decoder", run))
    try:
        run.lm()
        if beside.wait():
            raise RuntimeError(f"the stage decoder ended with status {beside.returncode}; its message is above")
    finally:
        beside.terminate()
        beside.wait()
    run.export()


def _command(stage: str, run: Run) -> list[str]:
    command = [sys.executable, "-m", "coda_demo_model", stage, "--output", str(run.folder)]
    command += ["--hours", str(run.plan.hours), "--seed", str(run.plan.seed)]
    command += ["--calls", str(run.plan.corpus.calls_of_an_intent), "--sentences", str(run.plan.codes.drawn_sentences)]
    return command + (["--max-steps", str(run.plan.max_steps)] if run.plan.max_steps is not None else [])
