"""What waits to be sent to a client: events in order, audio within bounds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

__all__ = ["Outbox", "Stalled"]

_MOST_EVENTS: Final = 10_000
_ENOUGH_EVENTS: Final = 100
"""Events that may wait before a client is not listened to any more."""
_AUDIO: Final = "response.output_audio.delta"


class Stalled(Exception):
    """The client does not read."""


class Outbox:
    """That of one session. Of audio that a client is too slow for the oldest is lost; events never are."""

    def __init__(self, most_audio: int) -> None:
        self.dropped = 0
        """Audio events that the client was too slow for."""
        self._most_audio = most_audio
        self._events: deque[dict[str, Any]] = deque()
        self._audio = 0
        self._wake = asyncio.Event()
        self._sent = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def put(self, events: Iterable[dict[str, Any]]) -> None:
        """Queue events. Raises `Stalled` where far too many wait."""
        for event in events:
            if event["type"] == _AUDIO:
                if self._audio >= self._most_audio:
                    self._drop_oldest()
                self._audio += 1
            self._events.append(event)
        waiting = len(self._events) - self._audio
        if waiting > _MOST_EVENTS:
            raise Stalled
        if waiting > _ENOUGH_EVENTS:
            self._room.clear()
        if self._events:
            self._wake.set()
            self._sent.clear()

    def drop_audio(self) -> None:
        """Throw away audio that waits: the listener is not to hear it any more."""
        self._events = deque(event for event in self._events if event["type"] != _AUDIO)
        self._audio = 0

    async def run(self, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        """Send what is there and what comes."""
        while True:
            while self._events:
                event = self._events.popleft()
                self._audio -= event["type"] == _AUDIO
                await send(event)
            self._room.set()
            self._sent.set()
            self._wake.clear()
            await self._wake.wait()

    async def room(self) -> None:
        """Wait until so few events wait that more may be asked for; `run` has to be running."""
        await self._room.wait()

    async def drained(self) -> None:
        """Wait until everything is sent; `run` has to be running."""
        await self._sent.wait()

    def _drop_oldest(self) -> None:
        for index, event in enumerate(self._events):
            if event["type"] == _AUDIO:
                del self._events[index]
                self._audio -= 1
                self.dropped += 1
                return
