"""Receipts: what becomes of the texts that Moshi was asked to say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, cast

from coda_core.commands import ReceiptStatus
from coda_core.errors import ConversationError
from coda_core.events import Injection

__all__ = ["WAITING_LIMIT", "Receipt", "Receipts"]

WAITING_LIMIT: Final = 100
"""Texts of one conversation that may wait to be said."""

_OVER: Final = frozenset({"finished", "cancelled", "expired"})


class Receipt:
    """For one text given to `Conversation.say`. On the event loop."""

    def __init__(self, id: int, text: str, cancel: Callable[[], None]) -> None:
        self.id = id
        """Number of the text in its conversation: that of its first event."""
        self.text = text
        self.history: list[Injection] = []
        """One event for each state it has passed, with its frame and time."""
        self._cancel = cancel
        self._over = asyncio.Event()

    @property
    def status(self) -> ReceiptStatus:
        """The latest state; ``finished``, ``cancelled`` and ``expired`` are the last of it."""
        return cast("ReceiptStatus", self.history[-1].status) if self.history else "queued"

    @property
    def over(self) -> bool:
        return self._over.is_set()

    def frame(self, status: ReceiptStatus) -> int | None:
        """Return the step at which it came to be in a state; None where it was not."""
        return next((event.frame for event in self.history if event.status == status), None)

    async def wait(self) -> ReceiptStatus:
        """Wait until it is over and return how: ``finished``, ``cancelled`` or ``expired``.

        A conversation that stands still, paused or parked, says nothing: the wait is as long as that lasts.
        """
        await self._over.wait()
        return self.status

    def cancel(self) -> None:
        """Give it up, begun or not, from the conversation's next step on. Does nothing where it is over.

        Raises `coda_core.errors.ConversationParked` while the conversation is parked.
        """
        if not self.over:
            self._cancel()

    def note(self, event: Injection) -> None:
        """Take the next state."""
        self.history.append(event)
        if event.status in _OVER:
            self._over.set()


class Receipts:
    """The texts of one conversation that are not over."""

    def __init__(self) -> None:
        self._open: dict[int, Receipt] = {}

    @property
    def open(self) -> Sequence[Receipt]:
        return tuple(self._open.values())

    def begin(self, id: int, text: str, cancel: Callable[[], None]) -> Receipt:
        """Return a new receipt. Raises ValueError for blank text, `ConversationError` where too many wait."""
        if not text.strip():
            raise ValueError("there is nothing to say: the text is blank")
        if len(self._open) >= WAITING_LIMIT:
            raise ConversationError(f"{WAITING_LIMIT} texts wait to be said already; wait for one of them to be over")
        receipt = self._open[id] = Receipt(id, text, cancel)
        return receipt

    def note(self, event: Injection) -> None:
        """Tell the receipt of an event, if there is one: the text may have been given in another process."""
        receipt = self._open.get(event.command)
        if receipt is not None:
            receipt.note(event)
            if receipt.over:
                del self._open[event.command]
