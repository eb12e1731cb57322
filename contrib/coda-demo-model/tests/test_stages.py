"""Every stage, for a few steps: what comes out is a checkpoint that moshi loads and that speaks in its loop."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from coda_demo_model.cli import main
from coda_demo_model.codes import load_codes
from coda_demo_model.decoder import decoder_parts
from coda_demo_model.injecting import Injector
from coda_demo_model.live import converse, load_checkpoint
from coda_demo_model.stages import Run
from coda_demo_model.timing import time_frames
from coda_demo_model.voice import FRAME


def test_the_checkpoint_has_every_file_and_stays_below_eight_megabytes(finished_run: Run) -> None:
    sizes = {path.name: path.stat().st_size for path in finished_run.checkpoint.iterdir()}
    assert set(sizes) == {
        "config.json",
        "coda.json",
        "mimi.safetensors",
        "mimi_config.json",
        "moshi.safetensors",
        "tokenizer.model",
    }
    assert sum(sizes.values()) < 8_000_000


def test_it_converses_in_moshis_loop(finished_run: Run) -> None:
    checkpoint = load_checkpoint(finished_run.checkpoint)
    said = converse(checkpoint, np.zeros((2, 5 * FRAME), np.float32))
    assert len(said) == 2
    assert said[0].audio.shape == (5 * FRAME,)
    assert np.isfinite(said[0].audio).all()
    assert len(said[0].tokens) == 5


def test_injected_words_are_its_words(finished_run: Run) -> None:
    checkpoint = load_checkpoint(finished_run.checkpoint)
    quiet = np.zeros((1, 40 * FRAME), np.float32)
    assert converse(checkpoint, quiet, text_hook=Injector(["green fish"], 2))[0].text == "green fish"


def test_the_frozen_codec_encodes_as_the_exported_one_does(finished_run: Run) -> None:
    codec, exported = finished_run._frozen_codec(), load_checkpoint(finished_run.checkpoint).mimi
    decoding = {id(value) for value in decoder_parts(codec).parameters()}
    state = exported.state_dict()
    for name, value in codec.named_parameters():
        assert id(value) in decoding or torch.equal(value, state[name]), name
    for name, value in codec.named_buffers():
        if "codebook" in name and "_embedding" not in name:
            assert torch.equal(value, state[name]), name


def test_codes_lie_in_their_codebooks(finished_run: Run) -> None:
    codes = load_codes(finished_run.folder / "codes")
    assert codes.silence.shape == (4,)
    for sentence in (*codes.replies.values(), *codes.drawn):
        assert sentence.codes.shape == (4, sentence.frames + 6)
        assert 0 <= sentence.codes.min() <= sentence.codes.max() < 512
    for call in codes.calls:
        assert 2 <= call.begin < 3 < call.end < call.codes.shape[1]


def test_a_finished_run_does_nothing_more(finished_run: Run) -> None:
    before = torch.load(finished_run.folder / "lm" / "state.pt", weights_only=True)
    finished_run.lm()
    finished_run.codes()
    after = torch.load(finished_run.folder / "lm" / "state.pt", weights_only=True)
    assert before["step"] == after["step"] == 2
    weights = (state["parts"]["average"]["mean"]["text_linear.weight"] for state in (before, after))
    assert torch.equal(*weights)


def test_a_folder_of_another_run_is_refused(finished_run: Run) -> None:
    with pytest.raises(ValueError, match="another seed"):
        Run(finished_run.folder, attrs.evolve(finished_run.plan, seed=9))


def test_a_stage_without_the_one_before_says_so(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["codec", "--output", str(tmp_path), "--max-steps", "1"])
    assert result.exit_code == 1
    assert "the stage before this one has not been run" in result.output


def test_an_unknown_measure_is_refused(finished_run: Run, tmp_path: Path) -> None:
    arguments = ["evaluate", str(finished_run.checkpoint), "--output", str(tmp_path), "--measure", "beauty"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "no measure is called beauty; there are" in result.output


def test_the_speed_is_measured(finished_run: Run) -> None:
    figures = time_frames(load_checkpoint(finished_run.checkpoint), sizes=(1,), rounds=1)
    assert set(figures) == {"frame at B = 1: median, best round (ms)"}
