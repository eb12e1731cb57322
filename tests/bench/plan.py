"""What `coda plan` reckons against what is allocated: weights, rings of keys and values, and all state of the slots.

For each batch size the plan is made first, then the processor is opened and the bytes of its tensors are counted. The
ratio is reckoned over allocated, and 1 where the plan is exact. `everything` counts every tensor that is alive because
of the processor, whoever holds it, against all parts of the plan that are no estimates.

    python tests/bench/plan.py --json
"""

from __future__ import annotations

import gc
import logging
from typing import Any

import torch
from checkpoints import checkpoint_option
from reporting import Result, arguments, report

from coda_core import Context
from coda_core.clock import SystemClock
from coda_core.paths import cache_dir
from coda_moshi.config import MoshiConfig
from coda_moshi.lifecycle import open_moshi
from coda_moshi.planning import plan_moshi

STATE = (
    "keys and values of the temporal transformer",
    "keys and values of the codec",
    "convolutions of the codec",
    "tokens and positions",
)


def size(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def alive() -> dict[int, int]:
    """Return the bytes of every storage that some tensor refers to."""
    gc.collect()
    tensors = [each for each in gc.get_objects() if issubclass(type(each), torch.Tensor) and each.device.type == "cpu"]
    return {each.untyped_storage()._cdata: each.untyped_storage().nbytes() for each in tensors}


def compare(within: Context, checkpoint: str, batch: int, **settings: Any) -> list[Result]:
    """Return the figures of one batch size."""
    config = MoshiConfig(model_path=checkpoint, conversations=batch, **settings)
    plan = plan_moshi(config, within)
    parts = {part.name: part.size_bytes for part in plan.parts}
    before = alive()
    with open_moshi(config, within) as processor:
        everything = sum(found for storage, found in alive().items() if storage not in before)
        lm, mimi = processor.batch.generator.lm_model, processor.batch.mimi
        buffers = [buffer for name, buffer in mimi.named_buffers() if not name.endswith("._embedding")]
        weights = sum(map(size, (*lm.parameters(), *lm.buffers(), *mimi.parameters(), *buffers)))
        states = (processor.batch.encoder, processor.batch.language_model, processor.batch.decoder)
        rings = sum(size(row.tensor) for state in states for row in state if "kv_cache" in row.name)
        of_slots = sum(state.size_bytes() for state in states)
    reckoned = [part for part in plan.parts if not part.estimated]
    exact = sum(part.size_bytes * (batch if part.kind == "conversation" else 1) for part in reckoned)
    case = ", ".join([f"B={batch}", *(f"{name}={value}" for name, value in settings.items())])
    pairs = {
        "weights": (plan.weights_bytes, weights),
        "rings": (batch * (parts[STATE[0]] + parts[STATE[1]]), rings),
        "state": (batch * sum(parts[name] for name in STATE), of_slots),
        "everything": (exact, everything),
    }
    return [
        Result(case=case, metric=metric, unit="bytes", value=planned, baseline=allocated)
        for metric, (planned, allocated) in pairs.items()
    ]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32, 64], help="batch sizes")
    checkpoint_option(parser)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    context = Context(
        base_dir=cache_dir(),
        cache_dir=cache_dir(),
        clock=SystemClock(),
        logger=logging.getLogger("plan"),
        progress=lambda what, done, total: None,
    )
    results = [
        result
        for batch in options.batch
        for settings in ({}, {"dtype": "bfloat16", "context": 25}, {"fast_step": False})
        for result in compare(context, options.checkpoint, batch, **settings)
    ]
    report("plan", results, as_json=options.json)


if __name__ == "__main__":
    main()
