"""What is reckoned before loading, against the bytes of the tensors that are there afterwards."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from coda_core.interfaces import Context
from coda_core.memory import MemoryPlan
from coda_moshi.config import MoshiConfig
from coda_moshi.planning import plan_moshi
from coda_moshi.processor import MoshiProcessor
from coda_moshi.slot_state import Row

RINGS = {
    "keys and values of the temporal transformer": ("language_model", True),
    "keys and values of the codec": ("codec", True),
    "convolutions of the codec": ("codec", False),
    "tokens and positions": ("language_model", False),
}


def size(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def planned(plan: MemoryPlan, name: str) -> int:
    (found,) = (part.size_bytes for part in plan.parts if part.name == name)
    return found


def rows(processor: MoshiProcessor, part: str) -> Iterator[Row]:
    batch = processor.batch
    states = (batch.encoder, batch.decoder) if part == "codec" else (batch.language_model,)
    return (row for state in states for row in state)


CASES: list[tuple[int, dict[str, Any]]] = [
    (1, {}),
    (3, {}),
    (8, {"dtype": "bfloat16"}),
    (2, {"dtype": "float16", "fast_step": False}),
    (2, {"context": 25}),
    (5, {"context": 33, "fast_step": False}),
]


@pytest.mark.parametrize(("slots", "settings"), CASES)
def test_planned_bytes_are_those_that_are_allocated(
    open_processor: Callable[..., Any],
    context: Context,
    tiny_folder: Path,
    slots: int,
    settings: dict[str, Any],
) -> None:
    plan = plan_moshi(MoshiConfig(model_path=str(tiny_folder), conversations=slots, **settings), context)
    with open_processor(tiny_folder, slots, **settings) as processor:
        lm, mimi = processor.batch.generator.lm_model, processor.batch.mimi
        assert planned(plan, "language model") == sum(map(size, (*lm.parameters(), *lm.buffers())))
        kept = {name: size(buffer) for name, buffer in mimi.named_buffers()}
        unpacked = sum(kept.pop(name) for name in tuple(kept) if name.endswith("._embedding"))
        assert planned(plan, "codec") == sum(map(size, mimi.parameters())) + sum(kept.values())
        assert planned(plan, "codebooks, unpacked") == unpacked > 0

        for name, (part, ring) in RINGS.items():
            found = (row for row in rows(processor, part) if ("kv_cache" in row.name) == ring)
            assert slots * planned(plan, name) == sum(size(row.tensor) for row in found) > 0, name
        states = (processor.batch.encoder, processor.batch.language_model, processor.batch.decoder)
        assert slots * sum(planned(plan, name) for name in RINGS) == sum(state.size_bytes() for state in states)

        with torch.inference_mode(), lm.depformer.streaming(slots):
            state = lm.depformer._streaming_state
            caches = [layer.self_attn._streaming_state for layer in lm.depformer.layers]
            depth = size(state.written) if hasattr(state, "written") else sum(size(s.kv_cache.cache) for s in caches)
        assert slots * planned(plan, "keys and values of the depth transformer") == depth


def test_nothing_of_size_is_left_out(open_processor: Callable[..., Any], context: Context, tiny_folder: Path) -> None:
    """All tensors that are alive because of a processor, whoever holds them, are within its plan."""
    plan = plan_moshi(MoshiConfig(model_path=str(tiny_folder), conversations=3), context)
    before = alive()
    with open_processor(tiny_folder, 3):
        taken = sum(found for storage, found in alive().items() if storage not in before)
    exact = sum(
        part.size_bytes * (3 if part.kind == "conversation" else 1) for part in plan.parts if not part.estimated
    )
    estimated = 3 * planned(plan, "working memory of a step")
    assert exact * 0.99 < taken < exact + estimated


def alive() -> dict[int, int]:
    """Return the bytes of every storage that a tensor refers to."""
    gc.collect()
    tensors = [each for each in gc.get_objects() if issubclass(type(each), torch.Tensor) and each.device.type == "cpu"]
    return {each.untyped_storage()._cdata: each.untyped_storage().nbytes() for each in tensors}


def test_the_checkpoint_is_not_made_for_a_plan(context: Context, tiny_folder: Path) -> None:
    """A plan of "tiny" by its config is the one of its files."""
    by_config = plan_moshi(MoshiConfig(model_path="tiny", conversations=3), context)
    by_files = plan_moshi(MoshiConfig(model_path=str(tiny_folder), conversations=3), context)
    assert by_config.parts == by_files.parts
