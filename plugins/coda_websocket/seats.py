"""How callers come to conversations over the network: a new one, or one that they left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import attrs

from coda_core.audio import AudioFrame
from coda_core.errors import ConversationError, Full, ModelError, NotResumable
from coda_core.events import Event
from coda_core.interfaces import SlotOptions
from coda_core.subscription import Subscription
from coda_websocket.access import CHALLENGE
from coda_websocket.peer import CloseCode, Gone, Peer, Refusal

if TYPE_CHECKING:
    from coda_core.conversation import Conversation
    from coda_core.kernel import Kernel

__all__ = ["Seat", "Seats"]

_Subscribed = tuple[Subscription[AudioFrame], Subscription[Event], int]

_RETRY_AFTER_S = 10
_SAID_GOODBYE = frozenset({1000, 1005})
"""Close codes of a peer that hung up on purpose; 1005 stands for a close frame without a code."""


@attrs.define(eq=False)
class Seat:
    """A conversation that a peer holds."""

    peer: Peer
    conversation: Conversation
    attachment: int
    """Which holder this is, as `Conversation.attachment` counts them."""
    resumed: bool
    since_s: float
    """When the conversation was first opened here, on the clock."""
    audio: Subscription[AudioFrame]
    events: Subscription[Event]
    """Everything else that comes of it."""
    first_frame: int
    """Index of the first frame that `audio` may bring."""
    left: asyncio.Event = attrs.field(factory=asyncio.Event)

    @property
    def taken_over(self) -> bool:
        """Whether another peer has come to the conversation since."""
        return self.conversation.attachment != self.attachment


class Seats:
    """Opens conversations, and keeps those whose peer is gone for as long as they are waited for."""

    def __init__(self, kernel: Kernel, *, grace_s: float, send_buffer_frames: int) -> None:
        self._kernel = kernel
        self._grace_s = grace_s
        self._send_buffer_frames = send_buffer_frames
        self._opened_s: dict[str, float] = {}
        self._seats: set[Seat] = set()
        self._vacant: dict[str, None] = {}
        """Conversations whose peer said goodbye, the first to leave first: a slot of theirs is for who waits."""

    @asynccontextmanager
    async def new(
        self, peer: Peer, options: SlotOptions, metadata: Mapping[str, str], now_s: float
    ) -> AsyncIterator[Seat]:
        """Open a conversation; it is closed on leaving, or waits for its peer where the block raises `Gone`.

        Raises `Refusal` where there is no room, or the processor cannot do what is asked.
        """
        async with AsyncExitStack() as exits:
            conversation = await self._open(exits, options, metadata)
            self._opened_s[conversation.id] = now_s
            async with self._held(peer, conversation, False, self._subscribe(conversation)) as seat:
                yield seat

    @asynccontextmanager
    async def resumed(self, peer: Peer, id: str, now_s: float) -> AsyncIterator[Seat]:
        """Go on with a conversation for a peer that shows its token; as `new` otherwise."""
        # Subscribed before it goes on: what waits in its queue is answered at once.
        waiting = self._kernel.conversations.get(id)
        subscribed = self._subscribe(waiting) if waiting is not None else None
        try:
            conversation = await self._resume(id, peer.tokens)
            if subscribed is None or conversation is not waiting:
                subscribed = self._subscribe(conversation)
            self._vacant.pop(id, None)
            # What an earlier connection has yet to pass on is passed on, or lost, before this one hears how far it got.
            for seat in [each for each in self._seats if each.conversation is conversation]:
                await seat.left.wait()
            self._opened_s.setdefault(id, now_s)
            async with self._held(peer, conversation, True, subscribed) as seat:
                yield seat
        finally:
            if subscribed is not None:
                audio, events, _ = subscribed
                audio.end()
                events.end()

    def _subscribe(self, conversation: Conversation) -> _Subscribed:
        audio = conversation.subscribe(AudioFrame, size=self._send_buffer_frames)
        return audio, conversation.subscribe(Event), conversation.frames

    @asynccontextmanager
    async def _held(
        self,
        peer: Peer,
        conversation: Conversation,
        resumed: bool,
        subscribed: _Subscribed,
    ) -> AsyncIterator[Seat]:
        audio, events, first_frame = subscribed
        seat = Seat(
            peer=peer,
            conversation=conversation,
            attachment=conversation.attachment,
            resumed=resumed,
            since_s=self._opened_s[conversation.id],
            audio=audio,
            events=events,
            first_frame=first_frame,
        )
        self._seats.add(seat)
        try:
            yield seat
        except Gone as gone:
            await conversation.detach(self._grace_s, attachment=seat.attachment)
            if gone.code in _SAID_GOODBYE and not seat.taken_over:
                self._vacant[conversation.id] = None
            raise
        finally:
            audio.end()
            events.end()
            try:
                if not seat.taken_over and conversation.detached_since_s is None and conversation.status != "parked":
                    await conversation.close()
            finally:
                self._seats.discard(seat)
                seat.left.set()
                self._forget_ended()

    async def _open(self, exits: AsyncExitStack, options: SlotOptions, metadata: Mapping[str, str]) -> Conversation:
        while True:
            opening = self._kernel.open_conversation(options=options, metadata=metadata)
            try:
                return await exits.enter_async_context(opening)
            except Full as full:
                if not await self._vacate():
                    raise _no_room(full) from None
            except (ModelError, ConversationError) as error:
                raise _unfit(error) from None

    async def _vacate(self) -> bool:
        """Close the conversation whose peer said goodbye longest ago; False where nothing came of it.

        One whose peer is on its way out is waited for: it may have said goodbye, or leave its slot.
        """
        on_their_way = [seat for seat in self._seats if seat.peer.gone]
        for seat in on_their_way:
            await seat.left.wait()
        while self._vacant:
            id = next(iter(self._vacant))
            del self._vacant[id]
            conversation = self._kernel.conversations.get(id)
            if conversation is not None and conversation.detached_since_s is not None:
                await conversation.close()
                return True
        return bool(on_their_way)

    async def _resume(self, id: str, tokens: Sequence[str]) -> Conversation:
        for token in tokens:
            try:
                return await self._kernel.resume(id, token=token)
            except NotResumable:
                continue
            except Full as full:
                raise _no_room(full) from None
        raise Refusal(
            status=401,
            code=CloseCode.POLICY,
            reason=str(NotResumable()),
            label="resume",
            headers={"WWW-Authenticate": CHALLENGE},
        )

    def _forget_ended(self) -> None:
        alive = self._kernel.conversations
        for id in [each for each in self._opened_s if each not in alive]:
            del self._opened_s[id]
            self._vacant.pop(id, None)


def _no_room(full: Full) -> Refusal:
    return Refusal(
        status=503,
        code=CloseCode.TRY_AGAIN,
        reason=str(full),
        label="full",
        headers={"Retry-After": str(_RETRY_AFTER_S)},
        details={"capacity": full.capacity, "load": round(full.load, 3)},
    )


def _unfit(error: Exception) -> Refusal:
    return Refusal(status=400, code=CloseCode.POLICY, reason=str(error), label="options")
