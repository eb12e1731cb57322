"""What is measured: the processor of a stack, made for any number of conversations."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import attrs

from coda_core.build import OpenProcessor
from coda_core.clock import Clock, SystemClock
from coda_core.config import ResolvedStack, Stack, read_stack, resolve
from coda_core.config.schema import settings_of
from coda_core.fields import Field, fields_of
from coda_core.interfaces import Context, Kind, Processor, Progress
from coda_core.kernel import Kernel
from coda_core.paths import cache_dir
from coda_core.plugins import Registry, load_plugins

__all__ = ["Subject", "measured_subject"]

_SIZE: Final = "conversations"
"""The setting that says for how many conversations a processor is made, by convention."""


@attrs.frozen
class Subject:
    """A stack without audio source, transports, fallback and store, in real time."""

    stack: Stack
    registry: Registry
    resolved: ResolvedStack
    clock: Clock

    @property
    def name(self) -> str:
        """What people call it: the checkpoint, or the processor where it has none."""
        chosen = self.resolved.processor
        return str(settings_of(chosen.config).get("model_path", chosen.label))

    @property
    def headroom(self) -> float:
        """Share of a frame that a full batch must leave free."""
        value: Any = settings_of(self.resolved.streaming_manager.config).get("headroom", 0.0)
        return float(value)

    @property
    def sizable(self) -> bool:
        """False for a processor that has as many slots as it has, and cannot be asked for another number."""
        return self._size is not None

    @property
    def most(self) -> int | None:
        """The largest number of conversations that may be asked for; None where there is no bound."""
        bound = self._size.known.maximum if self._size is not None else None
        return int(bound) if bound is not None else None

    def processor(self, conversations: int, progress: Progress) -> AbstractContextManager[Processor]:
        """Make the processor for that many conversations; entered, used and left on one thread."""
        chosen = attrs.evolve(self.resolved.processor, config=self._sized(conversations))
        context = Context(
            base_dir=self.stack.base_dir,
            cache_dir=cache_dir(),
            clock=self.clock,
            logger=logging.getLogger("coda.bench"),
            progress=progress,
        )
        return OpenProcessor(attrs.evolve(self.resolved, processor=chosen), context)()

    def kernel(self, conversations: int, progress: Progress) -> Kernel:
        """Return a kernel, not yet running, for that many conversations."""
        stack = attrs.evolve(self.stack, processor=self._sized(conversations))
        return Kernel(stack, registry=self.registry, clock=self.clock, progress=progress)

    @property
    def _size(self) -> Field | None:
        fields = fields_of(type(self.resolved.processor.config))
        return next((field for field in fields if field.name == _SIZE and field.type is int), None)

    def _sized(self, conversations: int) -> Any:
        config = self.resolved.processor.config
        return attrs.evolve(config, **{_SIZE: conversations}) if self.sizable else config


def measured_subject(path: Path | None, overrides: Sequence[str], clock: Clock | None = None) -> Subject:
    """Return what a stack asks to be measured; without one it is the checkpoint ``demo``. Raises `ConfigError`."""
    if path is not None:
        stack, registry = read_stack(path, overrides=overrides)
    else:
        registry = load_plugins()
        stack = Stack(processor=_config(registry, "processor", "moshi", model_path="demo"), source="coda bench")
    store = _config(registry, "state_store", "memory")
    stack = attrs.evolve(stack, audio_source=None, transport=(), fallback=None, state_store=store)
    resolved = resolve(stack, registry)
    if resolved.streaming_manager.registered.component.name == "offline":
        realtime = _config(registry, "streaming_manager", "realtime")
        stack = attrs.evolve(stack, streaming_enabled=True, streaming_manager=realtime)
        resolved = resolve(stack, registry)
    return Subject(stack, registry, resolved, clock or SystemClock())


def _config(registry: Registry, kind: Kind, name: str, **settings: Any) -> object:
    config: object = registry.get(kind, name).component.config(**settings)
    return config
