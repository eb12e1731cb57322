"""What belongs to a slot: all of it is known, stands still while masked, and is gone when the slot is free."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from coda_core.errors import ModelError
from coda_moshi.slot_state import SlotState

Voice = Callable[[int, int], NDArray[np.float32]]
SLOTS = 7
"""A number that no other dimension of the model has, so that a slot's axis can be told."""


@pytest.fixture(scope="module")
def seven(open_processor: Any, brief_folder: Path, stage: Any) -> Iterator[Any]:
    with open_processor(brief_folder, SLOTS) as processor:
        yield stage(processor)


def known(processor: Any) -> dict[int, tuple[str, torch.Tensor, int]]:
    states = (processor.batch.encoder, processor.batch.language_model, processor.batch.decoder)
    return {id(row.tensor): (row.name, row.tensor, row.axis) for state in states for row in state}


def rows(processor: Any, slot: int) -> dict[str, torch.Tensor]:
    return {name: tensor.select(axis, slot).clone() for name, tensor, axis in known(processor).values()}


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """Yield every tensor that a state holds, at any depth."""
    for part in vars(value).values() if hasattr(value, "__dict__") else ():
        if isinstance(part, torch.Tensor):
            yield part
        elif type(part).__module__.startswith("moshi.modules"):
            yield from tensors(part)


def test_every_tensor_with_a_row_for_each_slot_is_known(seven: Any) -> None:
    processor = seven.processor
    generator = processor.batch.generator
    states = [processor.batch.mimi, generator, generator.lm_model]
    found = [
        tensor
        for module in states
        for state in module.get_streaming_state().values()
        for tensor in tensors(state)
        if SLOTS in tensor.shape and tensor is not state.exec_mask
    ]
    assert len(found) > 15
    known_rows = known(processor)
    for tensor in found:
        assert id(tensor) in known_rows
        name, _, axis = known_rows[id(tensor)]
        assert tensor.shape[axis] == SLOTS, name


def test_a_free_slot_holds_nothing_of_who_was_there(seven: Any, voice: Voice) -> None:
    seven.processor.warm_up()
    fresh = [rows(seven.processor, slot) for slot in range(SLOTS)]
    seven.open(2, seed=1, prompt="a")
    seven.open(4, seed=2)
    for frame in voice(1, 17) + np.float32(0.01):
        seven.step({2: frame, 4: frame})
    used, kept = rows(seven.processor, 2), rows(seven.processor, 4)
    unused = {name for name, row in used.items() if torch.equal(row, fresh[2][name])}
    assert all(not used[name].numel() or name.endswith("first") for name in unused)
    seven.close(2)
    assert all(torch.equal(row, fresh[2][name]) for name, row in rows(seven.processor, 2).items())
    assert all(torch.equal(row, kept[name]) for name, row in rows(seven.processor, 4).items())
    seven.close(4)
    assert all(torch.equal(row, fresh[4][name]) for name, row in rows(seven.processor, 4).items())


def test_a_masked_slot_stands_still(seven: Any, voice: Voice) -> None:
    """But for the next place of each ring, which is written before it is ever read."""
    frames = voice(2, 12)
    seven.open(0)
    seven.open(6)
    for frame in frames[:9]:
        seven.step({0: frame, 6: frame})
    before = rows(seven.processor, 0)
    for frame in frames[9:]:
        seven.step({6: frame})
    after = rows(seven.processor, 0)
    for name, row in before.items():
        if name.endswith("kv_cache.cache"):
            capacity = row.shape[-2]
            end = int(before[name.replace("cache.cache", "cache.end_offset")])
            rewritten = 1 if name.startswith("transformer") else 2
            stays = [place for place in range(capacity) if (place - end) % capacity >= rewritten]
            assert torch.equal(row[..., stays, :], after[name][..., stays, :]), name
        else:
            assert torch.equal(row, after[name]), name
    seven.close(0, 6)


def test_masks_are_shared_by_each_half(seven: Any) -> None:
    processor = seven.processor
    states = processor.batch.mimi.get_streaming_state()
    ready = [state for name, state in states.items() if name.startswith(("encoder", "downsample"))]
    ready += processor.batch.generator.lm_model.get_streaming_state().values()
    speaking = [state for name, state in states.items() if name.startswith(("decoder", "upsample"))]
    assert {id(state.exec_mask) for state in ready} == {id(processor.batch.ready)}
    assert {id(state.exec_mask) for state in speaking} == {id(processor.batch.speaking)}


@dataclass
class Unheard:
    exec_mask: torch.Tensor
    surprise: torch.Tensor


def test_a_state_that_is_not_known_is_refused() -> None:
    with pytest.raises(ModelError, match=r"does not know \(Unheard.surprise\)"):
        SlotState({"": Unheard(torch.ones(2, dtype=torch.bool), torch.zeros(2))})


def test_size_is_counted(seven: Any) -> None:
    counted = seven.processor.batch.language_model.size_bytes()
    cache = 2 * SLOTS * 4 * 6 * 16 * 4
    assert cache < counted < 2 * cache
