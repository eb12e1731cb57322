"""The kernel: builds a stack's components, connects them, and opens conversations."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar, Unpack

import attrs

from coda_core.audio import AudioFormat, AudioFrame
from coda_core.build import STATE_LABEL, Components, build
from coda_core.clock import Clock, SystemClock
from coda_core.config import Chosen, Stack, read_stack, resolve, setup_of
from coda_core.conversation import Conversation
from coda_core.errors import ConversationClosed, ConversationTaken
from coda_core.events import Event
from coda_core.house import House
from coda_core.interfaces import Context, Measures, ProcessorInfo, Progress, SlotOptions, SlotSettings, Wiring
from coda_core.journal import Journal
from coda_core.observers import Observers, Stalls
from coda_core.openings import Openings
from coda_core.paths import cache_dir as default_cache_dir
from coda_core.plugins import Registry, load_plugins
from coda_core.serving import serve
from coda_core.sharing import Sharing
from coda_core.state import ConversationState
from coda_core.subscription import Subscription
from coda_core.text import ExtractedText
from coda_core.watching import LoopWatch, Stall

__all__ = ["Kernel"]

_logger = logging.getLogger("coda.kernel")
E = TypeVar("E", bound=Event)


def _no_progress(what: str, done: float, total: float) -> None:
    del what, done, total


class Kernel:
    """A running stack. An async context manager: entering builds everything, leaving closes everything.

    Several kernels can live in one process. All methods on the event loop that entered it.
    """

    def __init__(
        self,
        stack: Stack,
        *,
        registry: Registry | None = None,
        clock: Clock | None = None,
        cache_dir: Path | None = None,
        progress: Progress = _no_progress,
    ) -> None:
        """Check `stack` and choose its components; nothing is built yet. Raises `ConfigError`."""
        self.registry = registry if registry is not None else load_plugins(disabled=stack.disabled_plugins)
        self.stack = resolve(stack, self.registry)
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._cache_dir = cache_dir if cache_dir is not None else default_cache_dir()
        self._progress = progress
        self._exits = AsyncExitStack()
        self._keep_parked_s = stack.keep_parked_hours * 3600
        self._park_at_shutdown = stack.park_at_shutdown
        self._observers = Observers(self._clock, stack.observer_strikes)
        self._observer_budget_s = stack.observer_budget_ms / 1000
        self._save_every_s = stack.save_model_state_every_s
        self._local: asyncio.Task[Conversation] | None = None
        self._failure: BaseException | None = None
        self._failed = asyncio.Event()
        self._parts: Components
        self._house: House
        self._openings: Openings | None = None
        """None before the kernel was entered."""

    @classmethod
    def from_toml(
        cls,
        path: str | Path,
        *,
        overrides: Sequence[str] = (),
        clock: Clock | None = None,
        cache_dir: Path | None = None,
        progress: Progress = _no_progress,
    ) -> Kernel:
        """Return a kernel for the stack in a TOML file. `overrides` are as in ``coda run --set``."""
        stack, registry = read_stack(Path(path), overrides=overrides)
        return cls(stack, registry=registry, clock=clock, cache_dir=cache_dir, progress=progress)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            context = Context(
                base_dir=self.stack.base_dir,
                cache_dir=self._cache_dir,
                clock=self._clock,
                logger=_logger,
                progress=self._progress,
                report=self._report,
            )
            self._parts = await build(self.stack, context, exits)
            await exits.enter_async_context(self._parts.streaming_manager.run(self._wiring()))
            journal = Journal(self._record, self._clock, self._published, self._taken)
            ask = partial(self._parts.streaming_manager.call, STATE_LABEL)
            self._house = House(
                manager=self._parts.streaming_manager,
                state_manager=self._parts.state_manager,
                extractors=self._parts.extractors,
                journal=journal,
                clock=self._clock,
                keep_parked_s=self._keep_parked_s,
                processor=self.processor.label,
                save_every_s=self._save_every_s,
                published=self._published,
                sharing=Sharing(self._parts.state_store, ask, journal),
            )
            setup = setup_of(self.stack, self.processor)
            openings = Openings(self._house, self._parts.state_store, self.stack.name, setup)
            exits.push_async_callback(self._close_journal, asyncio.create_task(journal.run()))
            exits.push_async_callback(self._close_conversations, openings)
            await exits.enter_async_context(LoopWatch(self._observer_budget_s, self._stalled))
            await openings.take_over()
            self._openings = openings
            self.registry.started(self)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._exits.__aexit__(kind, error, traceback)

    # Conversations

    @property
    def info(self) -> ProcessorInfo:
        """What the running processor is."""
        return self._parts.streaming_manager.info

    @property
    def realtime(self) -> bool:
        """Whether frames are due in real time; if not, they go as fast as the model does."""
        return self._parts.streaming_manager.realtime

    @property
    def processor(self) -> Chosen:
        """Which processor is running: the stack's own, or its fallback."""
        return self._parts.open_processor.used

    @property
    def conversations(self) -> Mapping[str, Conversation]:
        """The conversations that are not over, by id; those that were parked here are among them."""
        return dict(self._house.conversations)

    @asynccontextmanager
    async def open_conversation(
        self,
        *,
        format: AudioFormat | None = None,
        user_id: str | None = None,
        options: SlotOptions | None = None,
        metadata: Mapping[str, str] | None = None,
        **asked: Unpack[SlotSettings],
    ) -> AsyncIterator[Conversation]:
        """Open a conversation, and close it on leaving, unless it is parked, detached or somebody else's by then.

        `format` is that of the PCM that will be sent: mono float32 at 24 kHz if not given. What `SlotOptions` has can
        be given by name, as in ``seed=1``, and goes before what is in `options`. With a prompt this waits until the
        model has taken it in.

        Raises `Full` where there is no room, `StoreError` where its opening cannot be made durable, `Incapable` where
        the processor cannot do what is asked, and ValueError where `user_id` or `metadata` are not text that can be
        written as UTF-8.
        """
        for text in (user_id or "", *(metadata or {}), *(metadata or {}).values()):
            text.encode()
        given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        conversation = await self._opener().open(
            format=format or AudioFormat(),
            user_id=user_id,
            options=attrs.evolve(options or SlotOptions(), **given),
            metadata=metadata or {},
        )
        held = conversation.attachment
        try:
            yield conversation
        finally:
            handed_on = conversation.attachment != held or conversation.detached_since_s is not None
            if conversation.status != "parked" and not handed_on:
                await conversation.close()

    async def resume(
        self, id: str, *, token: str, format: AudioFormat | None = None, start: bool = True
    ) -> Conversation:
        """Return a conversation that goes on where it was: detached or parked, here or by an earlier process.

        Who else holds it sees `Attached`. Whoever gets it closes it, or detaches again. Input that waited is answered
        at once: who is not to miss that asks with ``start=False``, subscribes, and then calls `Conversation.resume`.

        `format` is that of the PCM that will be sent; where not given it stays what it was, and for one from another
        process it is mono float32 at 24 kHz. Raises `NotResumable` where id and token are not those of a conversation
        that can go on, `Full` where there is no room, `StoreError` where its saved state is damaged and `ModelError`
        where this processor cannot go on from it: it stays parked then.
        """
        return await self._opener().resume(id, token, format, start=start)

    async def local(self) -> Conversation:
        """Return the conversation that the audio source feeds; the first call opens it."""
        if self._local is None:
            source = self._parts.audio_source
            format = source.format if source is not None else AudioFormat()
            opening = self._opener().open(format=format, user_id=None, options=SlotOptions(), metadata={})
            self._local = asyncio.create_task(opening)
        return await asyncio.shield(self._local)

    def subscribe(self, *kinds: type[E], size: int = 1000) -> Subscription[E]:
        """Read the events of all conversations from now on; `kinds` are `Event` or subclasses, none means all."""
        return self._observers.subscribe(kinds, size=size)

    def state(self, conversation: str) -> ConversationState | None:
        """Return what a live conversation is doing and how it goes; None for one that is not live. Reads no store."""
        return self._parts.state_manager.view(conversation)

    def measures(self) -> Measures:
        """Return what the streaming manager measured."""
        return self._parts.streaming_manager.measures()

    def stalls(self) -> Mapping[str, Stalls]:
        """Return who kept the event loop to themself for longer than `observer_budget_ms`: a plugin, or a place."""
        return dict(self._observers.stalls)

    async def serve(self) -> None:
        """Run the transports, and feed the local conversation from the audio source.

        Returns when the source has no more and every transport has finished; a server runs until cancelled.
        Raises the first error of a transport or the source, and `ModelError` where the processor is lost.
        """
        await serve(
            self,
            source=self._parts.audio_source,
            transports=self._parts.transports,
            clock=self._clock,
            realtime=self.realtime,
        )

    async def until_lost(self) -> NoReturn:
        """Wait until the processor is lost, which may be never, and raise what it was lost to."""
        await self._failed.wait()
        assert self._failure is not None
        raise self._failure

    # Wiring

    def _wiring(self) -> Wiring:
        return Wiring(
            open_processor=self._parts.open_processor,
            worker=self._parts.open_processor.worker,
            followers=self._parts.followers,
            deliver=self._deliver,
            found=self._found,
            report=self._report,
            broken=self._broken,
            lost=self._lost,
            indispensable=frozenset({STATE_LABEL}),
        )

    def _deliver(self, frames: Sequence[AudioFrame]) -> None:
        for frame in frames:
            conversation = self._house.conversations.get(frame.conversation)
            if conversation is not None:
                conversation.deliver(frame)

    def _found(self, label: str, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, ExtractedText):
                self._report(event, extractor=label)
            else:
                self._report(event)

    def _report(self, event: Event, **more: Any) -> None:
        if not event.conversation:
            self._published(event)
            return
        conversation = self._house.conversations.get(event.conversation)
        if conversation is not None:
            conversation.publish(event, **more)

    def _broken(self, id: str, message: str) -> None:
        conversation = self._house.conversations.get(id)
        if conversation is not None:
            _logger.error("conversation %s ended by a fault: %s", id, message)
            conversation.break_off(message, "fault")

    def _lost(self, error: BaseException) -> None:
        _logger.critical("the processor is lost, and every conversation with it: %s", error)
        self._failure = error
        if self._openings is not None:
            self._openings.failure = error
        self._failed.set()
        for conversation in tuple(self._house.conversations.values()):
            conversation.break_off(f"the processor is lost: {error}", "interrupted")

    def _taken(self, id: str) -> None:
        conversation = self._house.conversations.get(id)
        if conversation is not None:
            self._house.in_background(conversation.give_up(str(ConversationTaken(id))))

    def _published(self, event: Event) -> None:
        self._observers.publish(event)

    def _stalled(self, stall: Stall) -> None:
        readers = [reader for each in self._house.conversations.values() for reader in each.readers]
        self._observers.stalled(stall, readers)

    async def _record(self, events: Sequence[Event]) -> None:
        manager = self._parts.state_manager
        await self._parts.streaming_manager.call(STATE_LABEL, lambda: manager.record(events))

    # Opening and closing

    def _opener(self) -> Openings:
        if self._openings is None:
            raise ConversationClosed("the kernel is closed")
        return self._openings

    async def _close_conversations(self, openings: Openings) -> None:
        await openings.close()
        ending = [each.shut_down(park=self._park_at_shutdown) for each in tuple(self._house.conversations.values())]
        for error in await asyncio.gather(*ending, return_exceptions=True):
            if isinstance(error, BaseException):
                _logger.error("a conversation could not be closed properly: %s", error)
        await asyncio.gather(*self._house.background, return_exceptions=True)
        self._observers.end()

    async def _close_journal(self, running: asyncio.Task[None]) -> None:
        self._house.journal.close()
        await running
