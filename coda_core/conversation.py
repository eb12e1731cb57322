"""A conversation: what a caller holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from coda_core.audio import AudioFormat, AudioFrame, Block
from coda_core.commands import Cancel, Interrupt, Say
from coda_core.errors import CodaError, ConversationBroken
from coda_core.events import Event, Injection, Interrupted, Withdrawn
from coda_core.house import House
from coda_core.injecting import Receipt, Receipts
from coda_core.interfaces import LaneMeasures, SlotOptions
from coda_core.stay import Status, Stay
from coda_core.subscription import Overflow, Subscription
from coda_core.text import ExtractedText

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Conversation", "Output", "Status"]

Output = AudioFrame | ExtractedText | Event
T = TypeVar("T")

DEFAULT_SIZE = 100


class Conversation:
    """One caller's conversation with Moshi. Made by `Kernel.open_conversation`; all methods on the event loop.

    Once it is over, methods that need it live raise `ConversationClosed` where its owner closed it and
    `ConversationBroken` where a fault ended it. While it is parked they raise `ConversationParked`.
    """

    def __init__(
        self,
        id: str,
        *,
        format: AudioFormat,
        options: SlotOptions,
        resume_token: str,
        token_digest: str,
        house: House,
        status: Status = "opening",
        frames: int = 0,
    ) -> None:
        self.id = id
        self.format = format
        """How the PCM given to `send` is laid out."""
        self.options = options
        """The settings of its slot, with nothing left open: its seed is known even where nobody chose one."""
        self.frames = frames
        """Steps that were handed over."""
        self.resume_token = resume_token
        """What `Kernel.resume` asks for. A secret: who has it can take the conversation over."""
        self.token_digest = token_digest
        self._house = house
        self._stay = Stay(self, house, status)
        self._receipts = Receipts()
        self._subscriptions: list[Subscription[Any]] = []
        self._durable_at_end = 0

    # For its owner

    @property
    def status(self) -> Status:
        """Where it is in its life. Paused keeps the slot, parked has given it back."""
        return self._stay.status

    @property
    def detached_since_s(self) -> float | None:
        """When its peer went away, on the kernel's clock; None where nobody is missing."""
        return self._stay.detached_since_s

    @property
    def attachment(self) -> int:
        """A number that rises with each `attach`: who holds the conversation can tell whether it still does."""
        return self._stay.attachment

    @property
    def recorded(self) -> bool:
        """Whether both voices are recorded. Whoever carries the conversation says so to the peer."""
        return bool(self.options.record)

    @property
    def frame_s(self) -> float:
        """Seconds that one step stands for."""
        return self._house.info.frame_s

    @property
    def durable_sequence(self) -> int:
        """Number of the last event up to which everything is safely stored.

        An event that the store can never take is given up, logged and counted by the journal, and not waited for.
        """
        return self._durable_at_end or self._house.journal.durable_sequence(self.id)

    async def send(self, pcm: NDArray[np.float32] | NDArray[np.int16] | bytes) -> None:
        """Give a block of the caller's audio, of any length, in the conversation's `format`.

        In real time this never waits: what does not fit the queue is dropped by the manager's policy and counted.
        Offline it waits while the queue is full. Raises `AudioError` where the data does not match the format.
        """
        await self._stay.lane.push(Block(pcm, self.format))

    async def send_block(self, block: Block) -> None:
        """Like `send`, for a block that brings its own format."""
        await self._stay.lane.push(block)

    async def drain(self) -> None:
        """Wait until everything sent so far is answered; a partial frame at its end is padded with silence."""
        await self._stay.lane.drain()

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
        if self.status in ("closed", "broken"):
            subscription.end(self._stay.error)
        else:
            self._subscriptions = [each for each in self._subscriptions if not each.ended]
            self._subscriptions.append(subscription)
        return subscription

    async def text(self, last_s: float, *, extractor: str | None = None) -> Sequence[ExtractedText]:
        """Return what was said in the last `last_s` seconds, as an extractor retained it.

        `extractor` is its label in the stack; the first one if not given. Raises `CodaError` where the stack has
        no such extractor.
        """
        _ = self._stay.lane
        extractors = self._house.extractors
        label = extractor if extractor is not None else next(iter(extractors), None)
        if label is None or label not in extractors:
            known = ", ".join(extractors) or "none"
            raise CodaError(f"there is no monologue extractor {label or ''}".rstrip() + f"; this stack has: {known}")
        found = extractors[label]
        texts: Sequence[ExtractedText] = await self._house.manager.call(label, lambda: found.text(self.id, last_s))
        return texts

    async def say(
        self, text: str, *, deadline_s: float = 4.0, expires_s: float | None = None, yields: bool = False
    ) -> Receipt:
        """Have Moshi speak `text`, after what it was asked to say before; return a receipt at once.

        It begins where Moshi would begin a word of its own, and after `deadline_s` in any case. What has not begun
        `expires_s` after this call is dropped; with `yields` the caller cancels it by beginning to speak. Raises
        `Incapable` where the processor cannot do it, and ValueError for blank text or times below 0.
        """
        self._house.require("say")
        if deadline_s < 0 or (expires_s is not None and expires_s < 0):
            raise ValueError(f"deadline_s is {deadline_s} and expires_s {expires_s}; give times of 0 or more")
        lane = self._stay.lane
        number = self._house.journal.next_number(self.id)
        receipt = self._receipts.begin(number, text, lambda: self._cancel(number))
        asked = Say(
            id=number,
            text=text,
            deadline_frames=self._house.frames_of(deadline_s),
            expires_frames=None if expires_s is None else self._house.frames_of(expires_s),
            yields=yields,
        )
        self.publish(
            Injection(
                frame=lane.command(asked),
                command=number,
                status="queued",
                text=text,
                deadline_frames=asked.deadline_frames,
                expires_frames=asked.expires_frames,
                yields=yields,
            )
        )
        return receipt

    async def interrupt(self, for_s: float | None = None) -> None:
        """Have Moshi fall silent within two frames, until the caller has spoken or `for_s` seconds have passed.

        Every text that it was asked to say is cancelled, and audio that waits for readers is thrown away: they get
        `Interrupted` instead, and a peer should throw away what it holds too. Raises `Incapable` where the processor
        cannot do it, and ValueError for a time that is not above 0.
        """
        self._house.require("interrupt")
        if for_s is not None and for_s <= 0:
            raise ValueError(f"for_s is {for_s}; give a time above 0, or None to wait for the caller")
        frame = self._stay.lane.command(
            Interrupt(frames=None if for_s is None else max(1, self._house.frames_of(for_s)))
        )
        for subscription in self._subscriptions:
            subscription.drop_audio()
        self.publish(Interrupted(frame=frame, for_s=for_s))

    async def pause(self) -> None:
        """Stop stepping. The slot, its state and queued input are kept. Does nothing when paused or parked."""
        await self._stay.pause()

    async def resume(self) -> None:
        """Go on where it stopped; where it is parked, in a new slot. Does nothing when live.

        For a parked one it raises `Full` where there is no room, `StoreError` where its saved state is damaged or
        gone and `ModelError` where this processor cannot go on from it; it stays parked then.
        """
        await self._stay.resume()

    async def park(self, reason: str = "asked") -> None:
        """Save everything it goes on from, input that waits among it, and give the slot back.

        Returns when that is durable; does nothing when parked. Raises `Incapable` where the processor cannot do it
        and `StoreError` where the state could not be saved: it keeps its slot then, and is paused.
        """
        self._house.require("park")
        await self._stay.park(reason)

    async def detach(self, grace_s: float, *, attachment: int | None = None) -> None:
        """The peer is gone: stand still, and wait for it to come back with the resume token.

        After `grace_s` seconds, or before where somebody waits for a slot, the conversation is parked; closed where
        it cannot be. A peer that says which `attachment` it had is not heard where another has come since.
        """
        await self._stay.detach(grace_s, attachment)

    async def attach(self, *, start: bool = True) -> None:
        """A peer is back: go on, from a slot or parked, or stand still until `resume` where `start` is false.

        Raises as `resume` does. `Kernel.resume` calls it.
        """
        await self._stay.attach(start=start)

    async def settled(self) -> None:
        """Wait until `status` stands: until nobody is at parking it, bringing it back or closing it."""
        await self._stay.settled()

    def measures(self) -> LaneMeasures:
        """Return counters and latencies since the conversation was opened."""
        return self._stay.lane.measures()

    async def close(self, reason: str = "closed") -> None:
        """End the conversation: flush the extractors, record the end and wait until it is durable.

        Input that was not stepped is thrown away: `drain` first to have it answered. Safe to call again.
        """
        await self._stay.close(reason)

    # For the kernel

    @property
    def readers(self) -> Sequence[Subscription[Any]]:
        """Who reads it now."""
        return self._subscriptions

    async def open(self) -> None:
        """Take a slot; from now on the conversation is live."""
        await self._stay.open()

    def deliver(self, frame: AudioFrame) -> None:
        """Hand one step's audio to every reader."""
        self.frames = frame.frame + 1
        for subscription in self._subscriptions:
            subscription.put(frame)

    def publish(self, event: Event, **more: Any) -> None:
        """Number an event, queue it for the store, and hand it to every reader. `more` are fields that it gets."""
        numbered = self._house.journal.add(self.id, event, **more)
        if isinstance(numbered, Injection):
            self._receipts.note(numbered)
        for subscription in self._subscriptions:
            subscription.put(numbered)
        self._house.published(numbered)

    def break_off(self, message: str, reason: str) -> None:
        """End by a fault; the lane is closed already."""
        self._stay.break_off(message, reason)

    async def give_up(self, message: str) -> None:
        """End here by a fault, because another server has it."""
        await self._stay.give_up(message)

    async def make_way(self, still: Callable[[], bool]) -> None:
        """Park for somebody who waits, unless `still` says, when its turn has come, that it is not to be any more."""
        await self._stay.park("idle", still)

    async def shut_down(self, *, park: bool) -> None:
        """The kernel ends: leave it parked, or park it where it stands still and `park` says so, or close it."""
        await self._stay.shut_down(park=park)

    async def leave(self) -> None:
        """Forget it here where it is parked; it can be brought back from what is saved."""
        await self._stay.leave()

    def give_up_texts(self) -> None:
        """Record that what Moshi was still to say is not said any more."""
        for receipt in self._receipts.open:
            self.publish(Injection(frame=self.frames, command=receipt.id, status="cancelled", text=receipt.text))

    def end(self, error: ConversationBroken | None) -> None:
        """Nothing more comes of it here: its readers are told, and the kernel forgets it."""
        self._durable_at_end = self._house.journal.durable_sequence(self.id)
        for subscription in self._subscriptions:
            subscription.end(error)
        self._subscriptions = []
        self._house.conversations.pop(self.id, None)
        self._house.journal.forget(self.id)

    def _cancel(self, number: int) -> None:
        self.publish(Withdrawn(frame=self._stay.lane.command(Cancel(id=number)), command=number))
