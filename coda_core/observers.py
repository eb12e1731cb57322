"""Who reads the events of a kernel, and what becomes of a reader that misbehaves."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from typing import Any, Final, TypeVar

import attrs

from coda_core.clock import Clock
from coda_core.events import Event, Quarantined
from coda_core.subscription import Subscription
from coda_core.watching import Stall

__all__ = ["Observers", "Stalls"]

_WINDOW_S: Final = 60.0

_logger = logging.getLogger("coda.kernel")
E = TypeVar("E", bound=Event)


@attrs.frozen
class Stalls:
    """How often, and for how long, somebody kept the event loop to themself."""

    count: int = 0
    longest_s: float = 0.0


class Observers:
    """The subscriptions to the events of all conversations. On the event loop.

    A reader that leaves its events unread is disconnected, and so is one that keeps the loop to itself again and
    again: `strikes` times within a minute. Either is logged, and the others are told.
    """

    def __init__(self, clock: Clock, strikes: int) -> None:
        self.stalls: dict[str, Stalls] = {}
        """By who it was: a plugin, a transport, or the place in the code."""
        self._clock = clock
        self._strikes = strikes
        self._subscriptions: list[Subscription[Any]] = []
        self._at: dict[Subscription[Any], deque[float]] = {}

    def subscribe(self, kinds: tuple[type[E], ...], *, size: int) -> Subscription[E]:
        subscription: Subscription[E] = Subscription(kinds, size=size, overflow="drop-oldest")
        self._subscriptions = [each for each in self._subscriptions if not each.ended]
        self._subscriptions.append(subscription)
        return subscription

    def publish(self, event: Event) -> None:
        """Hand an event to everybody who reads."""
        given_up = []
        for subscription in self._subscriptions:
            if not subscription.ended:
                subscription.put(event)
                if subscription.failure:
                    given_up.append(subscription)
        for subscription in given_up:
            self._tell(subscription, "unread")

    def stalled(self, stall: Stall, others: Iterable[Subscription[Any]]) -> None:
        """Somebody has kept the loop to themself; `others` are the readers of single conversations."""
        reader = None
        if stall.task is not None:
            readers = (*self._subscriptions, *others)
            reader = next((each for each in readers if each.reader is stall.task and not each.ended), None)
        who = reader.owner if reader is not None and reader.owner else stall.place
        before = self.stalls.get(who, Stalls())
        self.stalls[who] = Stalls(before.count + 1, max(before.longest_s, stall.seconds))
        if not before.count:
            _logger.warning(
                "the event loop stood still for %.2f s, and the audio of everybody with it, in %s%s: such work belongs "
                "on another thread (asyncio.to_thread); said once",
                stall.seconds,
                stall.place,
                f" of {who}" if who != stall.place else "",
            )
        if reader is None:
            return
        self._at = {each: times for each, times in self._at.items() if not each.ended}
        at = self._at.setdefault(reader, deque(maxlen=self._strikes))
        at.append(self._clock.now())
        if len(at) == self._strikes and at[-1] - at[0] <= _WINDOW_S:
            del self._at[reader]
            reader.give_up(f"kept the event loop to itself {self._strikes} times within a minute, in {stall.place},")
            self._tell(reader, "blocking")

    def end(self) -> None:
        """No more events are coming."""
        for subscription in self._subscriptions:
            subscription.end()

    def _tell(self, subscription: Subscription[Any], reason: str) -> None:
        self.publish(
            Quarantined(who=subscription.owner, reason=reason, message=subscription.failure, time_s=self._clock.wall())
        )
