"""A conversation: what a caller holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from coda_core.audio import AudioFormat, AudioFrame, Block
from coda_core.errors import CodaError, ConversationBroken, ConversationClosed
from coda_core.events import Closed, Event, Failed, Paused, Resumed
from coda_core.interfaces import Lane, LaneMeasures, MonologueExtractor, ProcessorInfo, SlotOptions, StreamingManager
from coda_core.journal import Journal
from coda_core.subscription import Overflow, Subscription
from coda_core.text import ExtractedText

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Conversation", "Output", "Status"]

Status = Literal["opening", "live", "paused", "closed", "broken"]
Output = AudioFrame | ExtractedText | Event
T = TypeVar("T")

DEFAULT_SIZE = 100


class Conversation:
    """One caller's conversation with Moshi. Made by `Kernel.open_conversation`; all methods on the event loop.

    Once it is over, methods that need it live raise `ConversationClosed` where its owner closed it and
    `ConversationBroken` where a fault ended it.
    """

    def __init__(
        self,
        id: str,
        *,
        format: AudioFormat,
        options: SlotOptions,
        info: ProcessorInfo,
        journal: Journal,
        manager: StreamingManager,
        extractors: dict[str, MonologueExtractor],
        published: Callable[[Event], None],
        gone: Callable[[Conversation], None],
    ) -> None:
        self.id = id
        self.format = format
        """How the PCM given to `send` is laid out."""
        self.options = options
        """The settings of its slot, with nothing left open: its seed is known even where nobody chose one."""
        self.status: Status = "opening"
        self.frames = 0
        """Steps that were handed over."""
        self._info = info
        self._journal = journal
        self._manager = manager
        self._extractors = extractors
        self._published = published
        self._gone = gone
        self._lane: Lane | None = None
        self._subscriptions: list[Subscription[Any]] = []
        self._fault = ""
        self._durable_at_end = 0
        self._closing: asyncio.Future[None] | None = None

    # For its owner

    @property
    def frame_s(self) -> float:
        """Seconds that one step stands for."""
        return self._info.frame_s

    @property
    def durable_sequence(self) -> int:
        """Number of the last event up to which everything is safely stored.

        An event that the store can never take is given up, logged and counted by the journal, and not waited for.
        """
        return self._durable_at_end or self._journal.durable_sequence(self.id)

    async def send(self, pcm: NDArray[np.float32] | NDArray[np.int16] | bytes) -> None:
        """Give a block of the caller's audio, of any length, in the conversation's `format`.

        In real time this never waits: what does not fit the queue is dropped by the manager's policy and counted.
        Offline it waits while the queue is full. Raises `AudioError` where the data does not match the format.
        """
        await self._live().push(Block(pcm, self.format))

    async def send_block(self, block: Block) -> None:
        """Like `send`, for a block that brings its own format."""
        await self._live().push(block)

    async def drain(self) -> None:
        """Wait until everything sent so far is answered; a partial frame at its end is padded with silence."""
        await self._live().drain()

    @overload
    def subscribe(self, *, size: int = ..., overflow: Overflow = ...) -> Subscription[Output]: ...

    @overload
    def subscribe(
        self, kind: type[T], /, *kinds: type[T], size: int = ..., overflow: Overflow = ...
    ) -> Subscription[T]: ...

    def subscribe(
        self, *kinds: type[Any], size: int = DEFAULT_SIZE, overflow: Overflow = "drop-oldest"
    ) -> Subscription[Any]:
        """Start reading the conversation's output from now on, through a queue of this reader's own.

        `kinds` are `AudioFrame`, `ExtractedText`, `Event` or subclasses; none means all. `size` is in frames and
        `overflow` says what becomes of audio that finds no room; text and events are never dropped.
        """
        subscription: Subscription[Any] = Subscription(kinds, size=size, overflow=overflow)
        if self.status == "broken":
            subscription.end(ConversationBroken(self._fault))
        elif self.status == "closed":
            subscription.end()
        else:
            self._subscriptions = [each for each in self._subscriptions if not each.ended]
            self._subscriptions.append(subscription)
        return subscription

    async def text(self, last_s: float, *, extractor: str | None = None) -> Sequence[ExtractedText]:
        """Return what was said in the last `last_s` seconds, as an extractor retained it.

        `extractor` is its label in the stack; the first one if not given. Raises `CodaError` where the stack has
        no such extractor.
        """
        self._live()
        label = extractor if extractor is not None else next(iter(self._extractors), None)
        if label is None or label not in self._extractors:
            known = ", ".join(self._extractors) or "none"
            raise CodaError(f"there is no monologue extractor {label or ''}".rstrip() + f"; this stack has: {known}")
        found = self._extractors[label]
        texts: Sequence[ExtractedText] = await self._manager.call(label, lambda: found.text(self.id, last_s))
        return texts

    async def pause(self) -> None:
        """Stop stepping. The slot, its state and queued input are kept. Does nothing when paused."""
        lane = self._live()
        if self.status == "live":
            self.status = "paused"
            await lane.pause()
            self.publish(Paused(frame=self.frames))

    async def resume(self) -> None:
        """Go on where it stopped. Does nothing when live."""
        lane = self._live()
        if self.status == "paused":
            self.status = "live"
            self.publish(Resumed(frame=self.frames))
            await lane.resume()

    def measures(self) -> LaneMeasures:
        """Return counters and latencies since the conversation was opened."""
        return self._live().measures()

    async def close(self, reason: str = "closed") -> None:
        """End the conversation: flush the extractors, record the end and wait until it is durable.

        Input that was not stepped is thrown away: `drain` first to have it answered. Safe to call again.
        """
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close(reason))
        await asyncio.shield(self._closing)

    # For the kernel

    def attach(self, lane: Lane) -> None:
        """Take the way to the worker; from now on the conversation is live."""
        self._lane = lane
        self.status = "live"

    def deliver(self, frame: AudioFrame) -> None:
        """Hand one step's audio to every reader."""
        self.frames = frame.frame + 1
        for subscription in self._subscriptions:
            subscription.put(frame)

    def publish(self, event: Event) -> None:
        """Number an event, queue it for the store, and hand it to every reader."""
        numbered = self._journal.add(self.id, event)
        for subscription in self._subscriptions:
            subscription.put(numbered)
        self._published(numbered)

    def break_off(self, message: str, reason: str) -> None:
        """End by a fault; the lane is closed already. The end becomes durable behind the reader's back."""
        if self.status in ("closed", "broken"):
            return
        self.publish(Failed(message=message, frame=self.frames))
        self.publish(Closed(reason=reason, frames=self.frames, frame=self.frames))
        self._fault = message
        self._end("broken", ConversationBroken(message))

    def _live(self) -> Lane:
        if self.status == "broken":
            raise ConversationBroken(self._fault)
        if self._lane is None or self._closing is not None:
            raise ConversationClosed(f"conversation {self.id} is closed")
        return self._lane

    async def _close(self, reason: str) -> None:
        if self._lane is not None:
            await self._lane.close()
        if self.status == "broken":
            return
        self.publish(Closed(reason=reason, frames=self.frames, frame=self.frames))
        self.status = "closed"
        try:
            await self._journal.durable(self.id)
        finally:
            self._end("closed", None)

    def _end(self, status: Status, error: ConversationBroken | None) -> None:
        self.status = status
        self._durable_at_end = self._journal.durable_sequence(self.id)
        for subscription in self._subscriptions:
            subscription.end(error)
        self._subscriptions = []
        self._gone(self)
