"""What works behind the audio: the extractors and the state manager."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from coda_core.events import Event
from coda_core.interfaces.processor import ProcessorInfo
from coda_core.steps import StepRecords

__all__ = ["Follower"]


class Follower(Protocol):
    """Works behind the audio on the records of finished steps. All calls on F, its own thread."""

    def open(self, conversation: str, info: ProcessorInfo, state: bytes | None = None) -> None:
        """A conversation begins or, where `export` once gave `state`, goes on."""

    def feed(self, step: StepRecords) -> Sequence[Event]:
        """Take the records of one step for all conversations in it; return what was found.

        `step` is a sequence of `StepRecord`: whoever needs no columns may say so.
        """

    def export(self, conversation: str) -> bytes:
        """Return what is held for a conversation, for `open` to go on from. It is left as it is.

        Where the conversation is parked, `close` follows, and what that returns is thrown away.
        """

    def close(self, conversation: str) -> Sequence[Event]:
        """A conversation ended: return what was still held back, and forget it."""
