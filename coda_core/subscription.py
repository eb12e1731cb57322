"""One reader's bounded queue of a conversation's output."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from types import TracebackType
from typing import Any, Final, Generic, Literal, Self, TypeVar

from coda_core.audio import AudioFrame
from coda_core.errors import ConversationError
from coda_core.owner import OWNER

__all__ = ["EVENT_LIMIT", "Overflow", "Subscription", "SubscriptionOverflow"]

_logger = logging.getLogger("coda.kernel")

Overflow = Literal["drop-oldest", "drop-newest", "disconnect"]

EVENT_LIMIT: Final = 10_000
"""Text and events that may wait for a reader before it is given up as stalled."""

T = TypeVar("T")


class SubscriptionOverflow(ConversationError):
    """The reader fell so far behind that its subscription was ended."""


class Subscription(Generic[T]):
    """What one reader gets, in order: an async iterator, and an async context manager that unsubscribes.

    Audio beyond `size` frames is dropped by policy and counted in `dropped`. Text and events are never dropped;
    a reader that leaves 10,000 of them unread is disconnected. Iteration ends when the conversation has closed,
    and raises `ConversationBroken` where it broke or `SubscriptionOverflow` where this reader was too slow: in
    each case after what was already waiting. All methods on the event loop.
    """

    def __init__(self, kinds: tuple[type, ...], *, size: int, overflow: Overflow) -> None:
        if size < 1:
            raise ValueError(f"size is {size}; a subscription holds at least one frame")
        if overflow not in ("drop-oldest", "drop-newest", "disconnect"):
            raise ValueError(f"overflow is {overflow!r}; give 'drop-oldest', 'drop-newest' or 'disconnect'")
        self._kinds = kinds
        self._size = size
        self._overflow = overflow
        self._items: deque[T] = deque()
        self._audio = 0
        self._wake = asyncio.Event()
        self._ended = False
        self._error: BaseException | None = None
        self.owner = OWNER.get()
        """The plugin or transport that reads, where that is known."""
        self.reader: asyncio.Task[Any] | None = None
        """The task that waited for the last item."""
        self.failure = ""
        """Why the subscription was taken away from its reader; empty where it was not."""
        self.dropped = 0
        """Audio frames that this reader was too slow for."""

    def put(self, item: T) -> None:
        """Queue `item` if it is of a kind that was asked for."""
        if self._ended or (self._kinds and not isinstance(item, self._kinds)):
            return
        if isinstance(item, AudioFrame):
            if self._audio >= self._size and not self._make_room():
                return
            self._audio += 1
        elif len(self._items) - self._audio >= EVENT_LIMIT:
            self.give_up(f"left {EVENT_LIMIT} events unread")
            return
        self._items.append(item)
        self._wake.set()

    def _make_room(self) -> bool:
        if self._overflow == "disconnect":
            self.end(SubscriptionOverflow(f"a reader left {self._size} frames unread and was disconnected"))
            return False
        self.dropped += 1
        if self._overflow == "drop-newest":
            return False
        oldest = next(index for index, item in enumerate(self._items) if isinstance(item, AudioFrame))
        del self._items[oldest]
        self._audio -= 1
        return True

    def drop_audio(self) -> None:
        """Throw away the frames that wait; what else waits is kept. They do not count as dropped."""
        if self._audio:
            kept = [item for item in self._items if not isinstance(item, AudioFrame)]
            self._items.clear()
            self._items.extend(kept)
            self._audio = 0

    def end(self, error: BaseException | None = None) -> None:
        """No more is coming; what waits can still be read, then `error` is raised if there is one."""
        if not self._ended:
            self._ended = True
            self._error = error
            self._wake.set()

    def give_up(self, why: str) -> None:
        """Disconnect a reader that misbehaves, and say so."""
        if not self._ended:
            self.failure = f"a reader{f' of {self.owner}' if self.owner else ''} {why} and was disconnected"
            _logger.error("%s", self.failure)
            self.end(SubscriptionOverflow(self.failure))

    @property
    def ended(self) -> bool:
        return self._ended

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self.reader = asyncio.current_task()
            self._wake.clear()
            await self._wake.wait()
        item = self._items.popleft()
        if isinstance(item, AudioFrame):
            self._audio -= 1
        return item

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()
        self._items.clear()
        self._audio = 0
