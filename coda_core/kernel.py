"""The kernel: builds a stack's components, connects them, and opens conversations."""

from __future__ import annotations

import asyncio
import logging
import secrets
import uuid
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

import attrs

from coda_core.audio import AudioFormat, AudioFrame
from coda_core.build import STATE_LABEL, Components, build
from coda_core.clock import Clock, SystemClock
from coda_core.config import Chosen, Stack, read_stack, resolve
from coda_core.conversation import Conversation
from coda_core.errors import CodaError, ConversationBroken, ConversationClosed, Full
from coda_core.events import Event, Opened
from coda_core.interfaces import Context, Measures, ProcessorInfo, Progress, SlotOptions, Wiring
from coda_core.journal import Journal
from coda_core.paths import cache_dir as default_cache_dir
from coda_core.plugins import Registry, load_plugins
from coda_core.serving import serve
from coda_core.subscription import Subscription
from coda_core.text import ExtractedText

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
        self._conversations: dict[str, Conversation] = {}
        self._subscriptions: list[Subscription[Any]] = []
        self._local: asyncio.Task[Conversation] | None = None
        self._failure: BaseException | None = None
        self._failed = asyncio.Event()
        self._closed = True
        """True before it was entered and once it is being left."""
        self._openings: set[asyncio.Task[Conversation]] = set()
        """Conversations on their way; they are given up when the kernel is left."""
        self._parts: Components
        self._journal: Journal

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
            )
            self._parts = await build(self.stack, context, exits)
            await exits.enter_async_context(self._parts.streaming_manager.run(self._wiring()))
            self._journal = Journal(self._record, self._clock)
            exits.push_async_callback(self._close_journal, asyncio.create_task(self._journal.run()))
            exits.push_async_callback(self._close_conversations)
            self._closed = False
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
    def processor(self) -> Chosen:
        """Which processor is running: the stack's own, or its fallback."""
        return self._parts.open_processor.used

    @property
    def conversations(self) -> Mapping[str, Conversation]:
        """The conversations that are not over, by id."""
        return dict(self._conversations)

    @asynccontextmanager
    async def open_conversation(
        self,
        *,
        format: AudioFormat | None = None,
        user_id: str | None = None,
        options: SlotOptions | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Conversation]:
        """Open a conversation, and close it on leaving.

        `format` is that of the PCM that will be sent: mono float32 at 24 kHz if not given. Raises `Full` at once
        where there is no room, `StoreError` where its opening cannot be made durable, and ValueError where
        `user_id` or `metadata` are not text that can be written as UTF-8.
        """
        for text in (user_id or "", *(metadata or {}), *(metadata or {}).values()):
            text.encode()
        conversation = await self._begin(
            self._open(format or AudioFormat(), user_id, options or SlotOptions(), metadata or {})
        )
        try:
            yield conversation
        finally:
            await conversation.close()

    async def local(self) -> Conversation:
        """Return the conversation that the audio source feeds; the first call opens it."""
        if self._local is None:
            source = self._parts.audio_source
            format = source.format if source is not None else AudioFormat()
            self._local = asyncio.create_task(self._begin(self._open(format, None, SlotOptions(), {})))
        return await asyncio.shield(self._local)

    def subscribe(self, *kinds: type[E], size: int = 1000) -> Subscription[E]:
        """Read the events of all conversations from now on; `kinds` are `Event` or subclasses, none means all."""
        subscription: Subscription[E] = Subscription(kinds, size=size, overflow="drop-oldest")
        self._subscriptions = [each for each in self._subscriptions if not each.ended]
        self._subscriptions.append(subscription)
        return subscription

    def measures(self) -> Measures:
        """Return what the streaming manager measured."""
        return self._parts.streaming_manager.measures()

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
            realtime=self._parts.streaming_manager.realtime,
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
        )

    def _deliver(self, frames: Sequence[AudioFrame]) -> None:
        for frame in frames:
            conversation = self._conversations.get(frame.conversation)
            if conversation is not None:
                conversation.deliver(frame)

    def _found(self, label: str, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, ExtractedText):
                event = attrs.evolve(event, extractor=label)
            self._report(event)

    def _report(self, event: Event) -> None:
        conversation = self._conversations.get(event.conversation)
        if conversation is not None:
            conversation.publish(event)
        elif not event.conversation:
            self._published(event)

    def _broken(self, id: str, message: str) -> None:
        conversation = self._conversations.get(id)
        if conversation is not None:
            _logger.error("conversation %s ended by a fault: %s", id, message)
            conversation.break_off(message, "fault")

    def _lost(self, error: BaseException) -> None:
        _logger.critical("the processor is lost, and every conversation with it: %s", error)
        self._failure = error
        self._failed.set()
        for conversation in tuple(self._conversations.values()):
            conversation.break_off(f"the processor is lost: {error}", "interrupted")

    def _published(self, event: Event) -> None:
        for subscription in self._subscriptions:
            subscription.put(event)

    async def _record(self, events: Sequence[Event]) -> None:
        manager = self._parts.state_manager
        await self._parts.streaming_manager.call(STATE_LABEL, lambda: manager.record(events))

    # Opening and closing

    async def _begin(self, opening: Coroutine[Any, Any, Conversation]) -> Conversation:
        """Await an opening that is given up where the kernel is left meanwhile; then raises `ConversationClosed`."""
        task = asyncio.create_task(opening)
        self._openings.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if self._closed and current is not None and not current.cancelling():
                raise ConversationClosed("the kernel was closed while the conversation opened") from None
            raise
        finally:
            self._openings.discard(task)

    async def _open(
        self, format: AudioFormat, user_id: str | None, options: SlotOptions, metadata: Mapping[str, str]
    ) -> Conversation:
        if self._closed:
            raise ConversationClosed("the kernel is closed")
        if self._failure is not None:
            raise ConversationBroken(f"the processor is lost: {self._failure}")
        manager = self._parts.streaming_manager
        admission = manager.admit()
        if not admission.ok:
            raise Full(admission.reason, capacity=admission.capacity, load=admission.load)
        options = self._settle(options)
        conversation = Conversation(
            uuid.uuid4().hex,
            format=format,
            options=options,
            info=manager.info,
            journal=self._journal,
            manager=manager,
            extractors=self._parts.extractors,
            published=self._published,
            gone=self._gone,
        )
        self._conversations[conversation.id] = conversation
        try:
            conversation.attach(await manager.open(conversation.id, options))
            conversation.publish(
                Opened(
                    user_id=user_id,
                    stack=self.stack.name,
                    processor=self.processor.label,
                    fingerprint=manager.info.fingerprint,
                    slots=manager.info.slots,
                    options=attrs.asdict(options),
                    metadata=metadata,
                )
            )
            await self._journal.durable(conversation.id)
        except BaseException:
            if conversation.status == "opening":
                self._gone(conversation)
            else:
                with suppress(CodaError):
                    await conversation.close("not opened")
            raise
        return conversation

    def _settle(self, options: SlotOptions) -> SlotOptions:
        """Fill in what the conversation leaves open, so that what is recorded is what is run."""
        defaults = self.info.defaults
        settled = {
            field.name: getattr(defaults, field.name)
            for field in attrs.fields(SlotOptions)
            if getattr(options, field.name) is None
        }
        options = attrs.evolve(options, **settled)
        return options if options.seed is not None else attrs.evolve(options, seed=secrets.randbits(31))

    def _gone(self, conversation: Conversation) -> None:
        self._conversations.pop(conversation.id, None)
        self._journal.forget(conversation.id)

    async def _close_conversations(self) -> None:
        self._closed = True
        for opening in self._openings:
            opening.cancel()
        await asyncio.gather(*self._openings, return_exceptions=True)
        closing = [each.close("shutdown") for each in self._conversations.values()]
        for error in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(error, BaseException):
                _logger.error("a conversation could not be closed properly: %s", error)
        for subscription in self._subscriptions:
            subscription.end()

    async def _close_journal(self, running: asyncio.Task[None]) -> None:
        self._journal.close()
        await running
