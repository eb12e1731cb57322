"""From a config to a processor that is ready for callers, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from coda_moshi.budget import device_budget, process_limit
from coda_moshi.cpu_threads import chosen_threads, cpu_threads
from coda_moshi.kept_heap import give_back, keep_heap
from coda_moshi.lean_modules import make_lean
from coda_moshi.loading import choose_device, load_model
from coda_moshi.memory_watch import MemoryWatch, device_readings, resident_bytes
from coda_moshi.processor import MoshiProcessor
from coda_moshi.prompts import Beginning

if TYPE_CHECKING:
    import torch

    from coda_core.interfaces import Context
    from coda_moshi.config import MoshiConfig

__all__ = ["open_moshi"]


@contextmanager
def open_moshi(config: MoshiConfig, context: Context) -> Iterator[MoshiProcessor]:
    """Load the checkpoint, warm up and serve; entered and left on the worker thread.

    Raises `ModelError` where the checkpoint cannot be found, read or served, `OutOfMemory` where it does not fit, and
    `ConversationError` where the prompt cannot be taken in.
    """
    device = choose_device(config.device)
    resident = resident_bytes()
    with process_limit(device, config.vram_allocation):
        model = load_model(config, context, device)
        if config.fast_step and device.type == "cpu":
            _log_stock(make_lean(model.mimi, model.lm), context)
        parameters = sum(weight.numel() for weight in model.lm.parameters())
        beginning = Beginning(
            prompt=config.prompt,
            voice=config.voice,
            greeting=config.greeting,
            prompts_kept=config.prompts_kept,
            base_dir=context.base_dir,
        )
        processor = MoshiProcessor(model, config.conversations, beginning)
        # The processor alone holds the model, so that releasing it frees the memory.
        del model
        keep_heap(device)
        try:
            with cpu_threads(chosen_threads(config.threads, device, parameters)):
                context.progress("warming up", 0, 1)
                processor.warm_up()
                context.progress("warming up", 1, 1)
                processor.take_in_prompt()
                processor.watch = _watch(config, device, resident)
                yield processor
        finally:
            processor.release()
            give_back(device)


def _watch(config: MoshiConfig, device: torch.device, resident_before: int) -> MemoryWatch:
    allocation = config.vram_allocation
    allowed = None if allocation is None else device_budget(device, allocation).allowed
    return MemoryWatch(device_readings(device, allowed, resident_before), config.pressure_at)


def _log_stock(stock: Mapping[str, str], context: Context) -> None:
    """Say which modules the fast step leaves as they are."""
    if not stock:
        context.logger.info("fast step: all modules that have a leaner version take it")
    for reason in dict.fromkeys(stock.values()):
        names = [name for name, why in stock.items() if why == reason]
        context.logger.info("fast step: %s: stock modules serve, as %s", ", ".join(names), reason)
