"""What operators see of conversations: gathered from the kernel's events, for those of late too."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import attrs

from coda_core.errors import ConversationError
from coda_core.events import Closed, Event, Failed, Fault, Gap, Opened
from coda_core.subscription import Subscription
from coda_core.text import ExtractedText

if TYPE_CHECKING:
    from coda_core.kernel import Kernel

__all__ = ["Ledger", "Line"]

_KEPT: Final = 1000
"""Conversations that are remembered; above it those that began first are forgotten."""
_TEXTS: Final = 2000
"""Words, or phrases, of one conversation that are remembered."""


@attrs.define(eq=False)
class Line:
    """One conversation."""

    conversation: str
    opened_s: float
    user_id: str | None = None
    metadata: dict[str, str] = attrs.field(factory=dict)
    closed_s: float | None = None
    reason: str | None = None
    """Why it ended."""
    gaps: int = 0
    faults: int = 0
    texts: deque[ExtractedText] = attrs.field(factory=lambda: deque(maxlen=_TEXTS))


class Ledger:
    """One line for each conversation, the latest last. On the event loop."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._lines: dict[str, Line] = {}
        self._events: Subscription[Event] = kernel.subscribe()

    async def run(self) -> None:
        """Write until the kernel ends, or until cancelled."""
        while True:
            try:
                async for event in self._events:
                    self._write(event)
            except ConversationError:
                # It fell behind: what was missed is missing, and what comes is written again.
                self._events = self._kernel.subscribe()
            else:
                return

    def rows(self, limit: int) -> list[dict[str, Any]]:
        """Return what is known of the conversations, the latest first."""
        return [self._row(line) for line in reversed(tuple(self._lines.values()))][:limit]

    def row(self, conversation: str) -> dict[str, Any] | None:
        """Return what is known of one; None where nothing is."""
        line = self._lines.get(conversation)
        return None if line is None else self._row(line)

    def transcript(self, conversation: str) -> Sequence[dict[str, Any]] | None:
        """Return what was said in one, in the order of its beginning."""
        line = self._lines.get(conversation)
        if line is None:
            return None
        return [
            {
                "speaker": text.speaker,
                "text": text.text,
                "start_s": text.start_s,
                "end_s": text.end_s,
                "confidence": text.confidence,
                "injected": text.injected,
                "extractor": text.extractor,
            }
            for text in sorted(line.texts, key=lambda each: each.start_s)
        ]

    def _write(self, event: Event) -> None:
        if not event.conversation:
            return
        line = self._lines.get(event.conversation)
        if line is None:
            line = self._lines[event.conversation] = Line(event.conversation, event.time_s)
            if len(self._lines) > _KEPT:
                del self._lines[next(iter(self._lines))]
        match event:
            case Opened():
                line.user_id, line.metadata = event.user_id, dict(event.metadata)
            case ExtractedText():
                line.texts.append(event)
            case Gap():
                line.gaps += event.frames
            case Fault() | Failed():
                line.faults += 1
            case Closed():
                line.closed_s, line.reason = event.time_s, event.reason

    def _row(self, line: Line) -> dict[str, Any]:
        row: dict[str, Any] = {
            "conversation": line.conversation,
            "status": "closed",
            "opened_s": line.opened_s,
            "closed_s": line.closed_s,
            "reason": line.reason,
            "user_id": line.user_id,
            "metadata": line.metadata,
            "gap_frames": line.gaps,
            "faults": line.faults,
        }
        conversation = self._kernel.conversations.get(line.conversation)
        if conversation is not None:
            row |= {
                "status": conversation.status,
                "frame": conversation.frames,
                "detached": conversation.detached_since_s is not None,
                "durable_sequence": conversation.durable_sequence,
            }
            # One that is about to close, or to leave its slot, has no measures any more.
            with suppress(ConversationError):
                measures = conversation.measures()
                row |= {
                    "queued_frames": measures.queued_frames,
                    "dropped_frames": measures.dropped_frames,
                    "late_frames": measures.late_frames,
                }
        return row
