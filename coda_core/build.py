"""Makes the components of a stack, in the order in which they need each other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, ExitStack, contextmanager
from functools import partial
from typing import Any

import attrs

from coda_core.config import Chosen, ResolvedStack
from coda_core.errors import CodaError, PluginError
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
from coda_core.registry import kind_words
from coda_core.wording import one_line

__all__ = ["STATE_LABEL", "Components", "build"]

_logger = logging.getLogger("coda.build")

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
        with _explained(chosen):
            manager = chosen.registered.component.factory(chosen.config, _named(within, chosen))
            if isinstance(manager, AbstractAsyncContextManager):
                return await exits.enter_async_context(manager)
            return exits.enter_context(manager)

    # Before the store: where there is nothing to hear, no database is made.
    source = await enter(stack.audio_source) if stack.audio_source is not None else None
    store = await enter(stack.state_store)
    state_manager = await enter(stack.state_manager, attrs.evolve(context, store=store))
    extractors = {chosen.label: await enter(chosen) for chosen in stack.monologue_extractors}
    streaming_manager = await enter(stack.streaming_manager)
    transports = tuple([await enter(chosen) for chosen in stack.transports])
    return Components(
        audio_source=source,
        open_processor=partial(_open_processor, stack.processor, _named(context, stack.processor)),
        worker=stack.processor.registered.component.worker,
        extractors=extractors,
        streaming_manager=streaming_manager,
        state_manager=state_manager,
        state_store=store,
        transports=transports,
    )


def _named(context: Context, chosen: Chosen) -> Context:
    return attrs.evolve(context, logger=logging.getLogger(f"coda.{chosen.registered.kind}.{chosen.label}"))


@contextmanager
def _open_processor(chosen: Chosen, context: Context) -> Iterator[Processor]:
    with ExitStack() as exits:
        with _explained(chosen):
            manager: Any = chosen.registered.component.factory(chosen.config, context)
            processor: Processor = exits.enter_context(manager)
        yield processor


@contextmanager
def _explained(chosen: Chosen) -> Iterator[None]:
    """Turn what a component's factory raises unexpectedly into an error that names the component and its plugin."""
    try:
        yield
    except CodaError:
        raise
    except Exception as error:
        registered = chosen.registered
        message = f'the {kind_words(registered.kind)} "{chosen.label}" of plugin {registered.plugin} failed to start'
        _logger.info("%s", message, exc_info=error)
        raise PluginError(f"{message}: {one_line(error)}. Its author will want to see what --verbose logs.") from error
