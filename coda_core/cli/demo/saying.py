"""The text that Moshi is made to say in a demo, once the recording is over."""

from __future__ import annotations

import math
from typing import Final

from coda_core.conversation import Conversation
from coda_core.events import Event, Fault
from coda_core.injecting import Receipt

__all__ = ["Saying", "time_to_say"]

_PAUSE_S: Final = 0.5
"""Between the end of the recording and the text."""
_DEADLINE_S: Final = 1.0
_AROUND_S: Final = 3.0
_WORD_S: Final = 0.8


def time_to_say(text: str) -> float:
    """Return how many seconds of silence leave room for a text, and for what is before and after it."""
    return _AROUND_S + _WORD_S * len(text.split())


class Saying:
    """Has the conversation say a text after so many seconds of it, and remembers what came of that."""

    def __init__(self, text: str, conversation: Conversation, recording_s: float) -> None:
        self.text = text
        self.receipt: Receipt | None = None
        """None until it is asked for."""
        self.refusal = ""
        """Why the processor did not take it."""
        self._conversation = conversation
        self._from_frame = math.ceil((recording_s + _PAUSE_S) / conversation.frame_s)

    @property
    def status(self) -> str:
        """What became of it."""
        return self.receipt.status if self.receipt is not None else "never asked for"

    async def at(self, frame: int) -> None:
        """Ask for it if the conversation has come so far. Raises `Incapable` where the processor cannot do it."""
        if self.receipt is None and frame >= self._from_frame:
            self.receipt = await self._conversation.say(self.text, deadline_s=_DEADLINE_S)

    def note(self, event: Event) -> None:
        """Take note of an event of the conversation."""
        if isinstance(event, Fault) and self.receipt is not None and self.receipt.frame("started") is None:
            self.refusal = event.message
