"""A client's audio on its way to Moshi: not faster than it plays, and with silence where Moshi is waited for.

Moshi lives in the time of what it hears: without audio it stands still. Clients of this protocol fall silent altogether
while they wait for an answer, or send a whole file at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import attrs
import numpy as np
from coda_core import AudioFormat, Block, Clock, Conversation, ConversationParked
from coda_core.network import Allowance

__all__ = ["Line", "Overrun"]

_FASTEST: Final = 1.5
"""How much faster than it plays audio is passed on: more than 1, so that a client that was held up catches up."""
_AT_ONCE_S: Final = 2.0
"""Audio that is passed on at once, whenever it comes."""
_LATE_S: Final = 0.5
"""How late audio may be before silence stands in for it."""
_LONGEST_BLOCK_S: Final = 1.0
"""A client that sends its audio in longer pieces than this has silence between them."""
_LOOK_S: Final = 0.1
_STRETCHES: Final = 1000


class Overrun(Exception):
    """More audio waits than may."""


@attrs.frozen
class _Stretch:
    """A part of the conversation that came from one side alone."""

    since_s: float
    """Where it begins in the conversation."""
    client_s: float
    """How much the client had sent by then."""
    client: bool


class Line:
    """That of one session."""

    def __init__(
        self, conversation: Conversation, clock: Clock, wanted: Callable[[], bool], *, hold_s: float, most_s: float
    ) -> None:
        """`wanted` says that something is to come of Moshi; `hold_s` and `most_s` are in the settings."""
        self.conversation = conversation
        self._clock = clock
        self._wanted = wanted
        self._hold_s = hold_s
        self._most_s = most_s
        self._format = AudioFormat(sample_type="int16")
        self._queue: deque[Block] = deque()
        self._queued_s = 0.0
        self._allowance = Allowance(_FASTEST, _AT_ONCE_S, clock.now)
        self._covered_s = clock.now()
        """Until when what was passed on would play."""
        self._filling = False
        self._since_s = self._held_until_s = clock.now()
        self._wake = asyncio.Event()
        self._giving = asyncio.Lock()
        self._stretches = deque([_Stretch(0.0, 0.0, True)], maxlen=_STRETCHES)
        self._sent_s = 0.0
        """All that the conversation was given."""
        self._lost_s = 0.0

    @property
    def begun(self) -> bool:
        """Whether anything was sent."""
        return bool(self._sent_s or self._queue)

    async def take(self, block: Block) -> None:
        """Take the client's audio. Raises `Overrun` where too much waits, and what `Conversation.resume` raises."""
        self._format = block.format
        seconds = _seconds(block)
        if self._queued_s + seconds > self._most_s:
            raise Overrun
        for piece in _pieces(block):
            if not self._queue and self._allowance.take(_seconds(piece)):
                await self._give(piece, client=True)
            else:
                self._queue.append(piece)
                self._queued_s += _seconds(piece)
        self.hold()

    def clear(self) -> None:
        """Throw away what was not passed on yet."""
        self._queue.clear()
        self._queued_s = 0.0

    async def resume(self) -> None:
        """Have the conversation go on where it stands still. Raises what `Conversation.resume` does."""
        if self.conversation.status in ("paused", "parked"):
            await self.conversation.resume()

    def hold(self) -> None:
        """Something happened: go on for a while, whether or not the client sends audio."""
        self._held_until_s = self._clock.now() + self._hold_s
        self._wake.set()

    def turn_over(self) -> None:
        """The client waits for an answer: what it sent does not go on."""
        self._covered_s = min(self._covered_s, self._clock.now() - _LATE_S)
        self.hold()

    def lost(self, seconds: float) -> None:
        """So much of what was passed on never came to be a part of the conversation."""
        self._lost_s += seconds

    def client_s(self, conversation_s: float) -> float:
        """Return how much audio the client had sent when the conversation was at a time, both in seconds."""
        at = conversation_s + self._lost_s
        stretch = next((each for each in reversed(self._stretches) if each.since_s <= at), self._stretches[0])
        return stretch.client_s + (max(0.0, at - stretch.since_s) if stretch.client else 0.0)

    async def run(self) -> None:
        """Pass on what waits, and silence where there is none. Raises what `Conversation.resume` does."""
        while True:
            now = self._clock.now()
            if self._queue:
                seconds = _seconds(self._queue[0])
                if self._allowance.take(seconds):
                    self._queued_s -= seconds
                    await self._give(self._queue.popleft(), client=True)
                    self.hold()
                else:
                    await self._clock.sleep_until(now + _LOOK_S / 2)
            elif now >= self._held_until_s and not self._wanted():
                # A client that has just come is about to say something.
                if self._answered() and now - self._since_s >= self._hold_s:
                    await self._stand_still()
                else:
                    await self._clock.sleep_until(now + _LOOK_S)
            else:
                due = self._covered_s + (0.0 if self._filling else _LATE_S)
                if now < due:
                    await self._clock.sleep_until(min(due, now + _LOOK_S))
                else:
                    await self._give(self._silence(), client=False)

    def _answered(self) -> bool:
        """Whether all that was sent was stepped, but for what fills no frame."""
        frame_s = self.conversation.frame_s
        return self._sent_s - self._lost_s - self.conversation.frames * frame_s < frame_s - 1e-6

    async def _stand_still(self) -> None:
        self._wake.clear()
        self._filling = False
        if self.conversation.status == "live":
            await self.conversation.pause()
        if not self._queue:
            await self._wake.wait()

    async def _give(self, block: Block, *, client: bool) -> None:
        async with self._giving:
            now, seconds = self._clock.now(), _seconds(block)
            if client != self._stretches[-1].client:
                client_s = self.client_s(self._sent_s - self._lost_s)
                self._stretches.append(_Stretch(self._sent_s, client_s, client))
            # Silence keeps the time of the piece before it; audio that comes late has a time of its own.
            on_time = self._filling and not client and now - self._covered_s < _LATE_S
            since_s = self._covered_s if on_time else max(self._covered_s, now)
            self._covered_s = min(since_s + seconds, now + _LONGEST_BLOCK_S)
            self._filling = not client
            self._sent_s += seconds
            await self.resume()
            try:
                await self.conversation.send_block(block)
            except ConversationParked:  # its slot was given to somebody else in between
                await self.conversation.resume()
                await self.conversation.send_block(block)

    def _silence(self) -> Block:
        # In the client's own format: for another one the conversation would begin to resample anew.
        return Block(np.zeros(round(self._format.sample_rate_hz * self.conversation.frame_s), np.int16), self._format)


def _pieces(block: Block) -> list[Block]:
    """Return a block in pieces of 80 ms at most."""
    most = block.format.sample_rate_hz * 2 // 25
    pcm = np.asarray(block.pcm)
    return [Block(pcm[start : start + most], block.format) for start in range(0, len(pcm), most)]


def _seconds(block: Block) -> float:
    return len(block.pcm) / block.format.sample_rate_hz
