"""Makes the components of a stack, in the order in which they need each other."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, contextmanager
from typing import Any

import attrs

from coda_core.config import Chosen, ResolvedStack
from coda_core.errors import CodaError, MissingExtra, ModelError, PluginError
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
from coda_core.plugins.registry import kind_words
from coda_core.wording import one_line

__all__ = ["STATE_LABEL", "Components", "OpenProcessor", "build", "explained"]

_logger = logging.getLogger("coda.build")

STATE_LABEL = "state"
"""Label of the state manager among the followers."""


class OpenProcessor:
    """Makes the processor of a stack; where that fails to load, its fallback. Called on W."""

    def __init__(self, stack: ResolvedStack, context: Context) -> None:
        self._fallback = stack.fallback
        self._context = context
        self.used = stack.processor
        """The one of the two that was made; the stack's own before that."""
        either = (stack.processor,) if stack.fallback is None else (stack.processor, stack.fallback)
        workers = (one.registered.component.worker for one in either)
        self.worker = next((worker for worker in workers if worker is not None), None)
        """The shared thread that one of the two needs, if any; see `Component.worker`."""

    @contextmanager
    def __call__(self) -> Iterator[Processor]:
        with ExitStack() as exits:
            failure = ""
            try:
                processor = self._enter(self.used, exits)
            except (ModelError, MissingExtra) as error:
                if self._fallback is None:
                    raise
                failure = " ".join(str(error).split())
            # Not in the handler: while an error is handled, its traceback keeps what was loaded in memory.
            if failure and self._fallback is not None:
                failed, self.used = self.used, self._fallback
                _logger.error(
                    'the processor "%s" could not be loaded, and its fallback "%s" takes its place: %s',
                    failed.label,
                    self.used.label,
                    failure,
                )
                processor = self._enter(self.used, exits)
            yield processor

    def _enter(self, chosen: Chosen, exits: ExitStack) -> Processor:
        require(chosen.registered)
        with explained(chosen, "failed to start"):
            manager: Any = chosen.registered.component.factory(chosen.config, _named(self._context, chosen))
            processor: Processor = exits.enter_context(manager)
            return processor


@attrs.frozen(kw_only=True)
class Components:
    """The built components of one stack; the processor is still to be opened, on its worker thread."""

    audio_source: AudioSource | None
    open_processor: OpenProcessor
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
        if chosen is not stack.processor or stack.fallback is None:
            require(chosen.registered)

    async def enter(chosen: Chosen, within: Context = context) -> Any:
        with explained(chosen, "failed to start"):
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
        open_processor=OpenProcessor(stack, context),
        extractors=extractors,
        streaming_manager=streaming_manager,
        state_manager=state_manager,
        state_store=store,
        transports=transports,
    )


def _named(context: Context, chosen: Chosen) -> Context:
    return attrs.evolve(context, logger=logging.getLogger(f"coda.{chosen.registered.kind}.{chosen.label}"))


@contextmanager
def explained(chosen: Chosen, what: str) -> Iterator[None]:
    """Turn what a component raises unexpectedly into a `PluginError` that names the component and its plugin.

    `what` says what became of it, as in "failed to start". A `CodaError` goes through as it is.
    """
    try:
        yield
    except CodaError:
        raise
    except Exception as error:
        registered = chosen.registered
        message = f'the {kind_words(registered.kind)} "{chosen.label}" of plugin {registered.plugin} {what}'
        _logger.info("%s", message, exc_info=error)
        raise PluginError(f"{message}: {one_line(error)}. Its author will want to see what --verbose logs.") from error
