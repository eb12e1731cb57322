"""What can be asked of a conversation while it runs, and what becomes of it.

A command takes effect at the conversation's next step. Whoever gives it numbers it; the numbers of one conversation
are unique and rise.
"""

from __future__ import annotations

from typing import Literal

import attrs

__all__ = ["Cancel", "Command", "Interrupt", "Notice", "ReceiptStatus", "Say"]

ReceiptStatus = Literal["queued", "started", "finished", "cancelled", "expired"]
"""Of a `Say`: waiting, its first piece forced, its last piece's audio out, given up, never begun in time."""


@attrs.frozen(kw_only=True)
class Say:
    """Speak `text` in the model's voice, after whatever was asked for before it."""

    id: int
    text: str
    deadline_frames: int
    """Steps, from when it is first in line, after which it begins even where the model would not begin a word."""
    expires_frames: int | None = None
    """Steps, from when it is given, after which it is dropped if it has not begun; None keeps it."""
    yields: bool = False
    """Whether the caller cancels it by beginning to speak."""


@attrs.frozen(kw_only=True)
class Cancel:
    """Give up the `Say` of this number, begun or not. Does nothing where it is over."""

    id: int


@attrs.frozen(kw_only=True)
class Interrupt:
    """Fall silent, and cancel every `Say`, until the caller has spoken or `frames` steps have passed."""

    frames: int | None = None
    """None waits for the caller."""


Command = Say | Cancel | Interrupt


@attrs.frozen
class Notice:
    """What a step made of a `Say`."""

    slot: int
    command: int
    """Its `Say.id`."""
    status: ReceiptStatus
