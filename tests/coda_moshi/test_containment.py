"""Faults stay where they happen: a poisoned slot, a step that raises, a model that is broken from the start."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from coda_core.errors import ModelError, OutOfMemory
from coda_core.interfaces import StepInput

Voice = Callable[[int, int], NDArray[np.float32]]
VICTIM, BYSTANDER, FREE = 1, 2, 3


@attrs.frozen(eq=False)
class Undisturbed:
    """What two conversations come to where nothing goes wrong."""

    frames: NDArray[np.float32]
    others: NDArray[np.float32]
    bystander: Any
    """Of `frames` in the bystander's slot, with seed 1."""
    fresh: Any
    """Of `others` in the victim's slot, with seed 2."""


@pytest.fixture(scope="module")
def undisturbed(four: Any, voice: Voice) -> Undisturbed:
    frames, others = voice(4, 7), voice(5, 7)
    return Undisturbed(frames, others, four.talk(BYSTANDER, frames, seed=1), four.talk(VICTIM, others, seed=2))


def poison(state: Any, part: str, slot: int) -> None:
    """Put NaN into one tensor of a slot's state."""
    with torch.inference_mode():
        row = next(row for row in state if part in row.name and row.tensor.is_floating_point())
        row.tensor.select(row.axis, slot).fill_(torch.nan)


@pytest.mark.parametrize(
    ("state", "part"),
    [
        ("encoder", "encoder.model"),
        ("encoder", "encoder_transformer"),
        ("encoder", "downsample"),
        ("language_model", "kv_cache"),
        ("decoder", "decoder.model"),
        ("decoder", "upsample"),
    ],
)
def test_numbers_that_are_not_finite_fail_one_slot_and_wipe_it(
    slots: Any, undisturbed: Undisturbed, join_rows: Any, state: str, part: str
) -> None:
    frames, others = undisturbed.frames, undisturbed.others
    slots.open(BYSTANDER, seed=1)
    slots.open(VICTIM, seed=3)
    heard = []
    for tick, frame in enumerate(frames):
        both = {BYSTANDER: frame} | ({VICTIM: others[tick]} if tick <= 4 else {})
        if tick == 4:
            poison(getattr(slots.processor.batch, state), part, VICTIM)
        output = slots.step(both)
        heard.append(output[BYSTANDER])
        if tick <= 4:
            failed = output[VICTIM]
            assert failed.failed[0] == (tick == 4)
    assert not failed.valid[0]
    assert not failed.pcm.any()
    slots.close(BYSTANDER)
    assert join_rows(heard) == undisturbed.bystander
    # The slot was freed by the failure, and the next conversation in it finds nothing of the NaN.
    assert slots.talk(VICTIM, others, seed=2) == undisturbed.fresh


def test_logits_of_the_depth_transformer_are_watched_too(
    slots: Any, undisturbed: Undisturbed, join_rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = undisturbed.frames
    model = slots.processor.batch.generator.lm_model
    forward = model.forward_depformer

    def poisoned(codebook: int, *arguments: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = forward(codebook, *arguments)
        if codebook == 1 and ticks == 3:
            logits[VICTIM] = torch.nan
        return logits

    monkeypatch.setattr(model, "forward_depformer", poisoned)
    slots.open(BYSTANDER, seed=1)
    slots.open(VICTIM)
    heard: list[Any] = []
    failures: list[bool] = []
    for ticks, frame in enumerate(frames):  # noqa: B007  # read by `poisoned`
        output = slots.step({BYSTANDER: frame} | ({VICTIM: frame} if not any(failures) else {}))
        heard.append(output[BYSTANDER])
        failures += [bool(output[VICTIM].failed[0])] if VICTIM in output else []
    assert failures == [False, False, False, True]
    slots.close(BYSTANDER)
    assert join_rows(heard) == undisturbed.bystander


@pytest.mark.parametrize("broken", ["encoder", "layer", "depformer", "decoder"])
def test_an_exception_tears_only_the_slots_that_took_part(
    slots: Any, undisturbed: Undisturbed, join_rows: Any, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    frames, others = undisturbed.frames, undisturbed.others
    processor = slots.processor
    model = processor.batch.generator.lm_model
    module = {
        "encoder": processor.batch.mimi.encoder_transformer.transformer.layers[0].self_attn,
        "layer": model.transformer.layers[0].gating,
        "depformer": model.depformer.layers[0].self_attn,
        "decoder": processor.batch.mimi.decoder.model[-1],
    }[broken]
    slots.open(BYSTANDER, seed=1)
    slots.open(VICTIM, seed=9)
    heard = [slots.step({BYSTANDER: frame, VICTIM: frame})[BYSTANDER] for frame in frames[:4]]

    def raising(*_: Any) -> None:
        raise ZeroDivisionError("in the middle of a step")

    with monkeypatch.context() as patch:
        patch.setattr(module, "forward", raising)
        with pytest.raises(ZeroDivisionError, match="in the middle of a step"):
            slots.step({VICTIM: others[0]})
    slots.close(VICTIM)
    assert slots.talk(VICTIM, others, seed=2) == undisturbed.fresh
    heard += [slots.step({BYSTANDER: frame})[BYSTANDER] for frame in frames[4:]]
    slots.close(BYSTANDER)
    assert join_rows(heard) == undisturbed.bystander


def test_running_out_of_memory_in_a_step_is_said_so(slots: Any, voice: Voice, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(*_: Any) -> torch.Tensor:
        return torch.empty(2**60, dtype=torch.uint8)

    slots.open(VICTIM)
    monkeypatch.setattr(slots.processor.batch.mimi, "decode", greedy)
    with pytest.raises(OutOfMemory, match="cpu ran out of memory while stepping the model"):
        slots.step({VICTIM: voice(1, 1)[0]})


def test_the_torn_step_of_everybody_is_mended_by_closing(
    slots: Any, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = voice(6, 4)
    before = [slots.talk(slot, frames, seed=slot) for slot in range(4)]
    for slot in range(4):
        slots.open(slot)

    def raising(*_: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(slots.processor.batch.mimi, "decode", raising)
        with pytest.raises(ZeroDivisionError):
            slots.processor.step(StepInput(np.arange(4), voice(1, 4), np.zeros(4, np.bool_)))
    slots.close(*range(4))
    assert [slots.talk(slot, frames, seed=slot) for slot in range(4)] == before


@pytest.mark.parametrize("file", ["model.safetensors", "mimi.safetensors"])
def test_weights_that_are_not_finite_are_noticed_while_warming_up(
    open_processor: Any, brief_folder: Path, tmp_path: Path, file: str
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(brief_folder, folder)
    weights = load_file(folder / file)
    for name in ("text_linear.weight", "decoder.model.0.conv.conv.bias"):
        if name in weights:
            weights[name][:] = torch.nan
    save_file(weights, folder / file)
    with (
        pytest.raises(ModelError, match="answers silence with numbers that are not finite"),
        open_processor(folder, 2),
    ):
        pass
