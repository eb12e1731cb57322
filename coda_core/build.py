"""Makes the components of a stack, in the order in which they need each other."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack
from functools import partial
from typing import Any

import attrs

from coda_core.config import Chosen, ResolvedStack
from coda_core.interfaces import (
    AudioSource,
    Context,
    Follower,
    MonologueExtractor,
    Processor,
    StateManager,
    StateStore,
    StreamingManager,
    Transport,
)
from coda_core.plugins import require

__all__ = ["STATE_LABEL", "Components", "build"]

STATE_LABEL = "state"
"""Label of the state manager among the followers."""


@attrs.frozen(kw_only=True)
class Components:
    """The built components of one stack; the processor is still to be opened, on its worker thread."""

    audio_source: AudioSource | None
    open_processor: Callable[[], AbstractContextManager[Processor]]
    worker: str | None
    extractors: dict[str, MonologueExtractor]
    streaming_manager: StreamingManager
    state_manager: StateManager
    state_store: StateStore
    transports: tuple[Transport, ...]

    @property
    def followers(self) -> dict[str, Follower]:
        return {**self.extractors, STATE_LABEL: self.state_manager}


async def build(stack: ResolvedStack, context: Context, exits: AsyncExitStack) -> Components:
    """Enter every component but the processor on `exits`, which leaves them in reverse."""
    for chosen in stack.all():
        require(chosen.registered)

    async def enter(chosen: Chosen, within: Context = context) -> Any:
        manager = chosen.registered.component.factory(chosen.config, _named(within, chosen))
        if isinstance(manager, AbstractAsyncContextManager):
            return await exits.enter_async_context(manager)
        return exits.enter_context(manager)

    store = await enter(stack.state_store)
    state_manager = await enter(stack.state_manager, attrs.evolve(context, store=store))
    extractors = {chosen.label: await enter(chosen) for chosen in stack.monologue_extractors}
    streaming_manager = await enter(stack.streaming_manager)
    source = await enter(stack.audio_source) if stack.audio_source is not None else None
    transports = tuple([await enter(chosen) for chosen in stack.transports])
    processor = stack.processor.registered.component
    return Components(
        audio_source=source,
        open_processor=partial(_sync, processor.factory, stack.processor.config, _named(context, stack.processor)),
        worker=processor.worker,
        extractors=extractors,
        streaming_manager=streaming_manager,
        state_manager=state_manager,
        state_store=store,
        transports=transports,
    )


def _named(context: Context, chosen: Chosen) -> Context:
    return attrs.evolve(context, logger=logging.getLogger(f"coda.{chosen.registered.kind}.{chosen.label}"))


def _sync(factory: Callable[[Any, Context], Any], config: Any, context: Context) -> AbstractContextManager[Processor]:
    manager: AbstractContextManager[Processor] = factory(config, context)
    return manager
