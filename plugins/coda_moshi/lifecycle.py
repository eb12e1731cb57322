"""From a config to a processor that is ready for callers, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from coda_moshi.budget import process_limit
from coda_moshi.cpu_threads import chosen_threads, cpu_threads
from coda_moshi.loading import choose_device, load_model
from coda_moshi.processor import MoshiProcessor

if TYPE_CHECKING:
    from coda_core.interfaces import Context
    from coda_moshi.config import MoshiConfig

__all__ = ["open_moshi"]


@contextmanager
def open_moshi(config: MoshiConfig, context: Context) -> Iterator[MoshiProcessor]:
    """Load the checkpoint, warm up and serve; entered and left on the worker thread.

    Raises `ModelError` where the checkpoint cannot be found, read or served, `OutOfMemory` where it does not fit.
    """
    device = choose_device(config.device)
    with process_limit(device, config.vram_allocation):
        model = load_model(config, context, device)
        parameters = sum(weight.numel() for weight in model.lm.parameters())
        processor = MoshiProcessor(model, config.conversations)
        # The processor alone holds the model, so that releasing it frees the memory.
        del model
        try:
            with cpu_threads(chosen_threads(config.threads, device, parameters)):
                context.progress("warming up", 0, 1)
                processor.warm_up()
                context.progress("warming up", 1, 1)
                yield processor
        finally:
            processor.release()
