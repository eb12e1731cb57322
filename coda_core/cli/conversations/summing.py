"""All conversations of a store in a few numbers."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from coda_core.cli.conversations.reading import ALL
from coda_core.interfaces import ConversationRow, StateStore
from coda_core.state import Snapshot

__all__ = ["sum_up"]

_TAIL: Final = 64
"""Events at a conversation's end among which its last snapshot is looked for."""


def sum_up(store: StateStore) -> dict[str, Any]:
    """Return how many conversations there are, how long they were, and how many were of which quality."""
    rows = store.find(limit=ALL)
    levels: Counter[str] = Counter()
    seconds = caller_s = moshi_s = 0.0
    exchanges = interruptions = dropped = 0
    for row in rows:
        snapshot = _latest(store, row)
        if snapshot is None:
            levels["unknown"] += 1
            continue
        metrics = snapshot.metrics
        levels[snapshot.quality.level] += 1
        seconds += metrics.frames * metrics.frame_s
        caller_s += metrics.caller_frames * metrics.frame_s
        moshi_s += metrics.moshi_frames * metrics.frame_s
        exchanges += metrics.exchanges
        interruptions += metrics.interruptions
        dropped += metrics.dropped_frames
    return {
        "conversations": len(rows),
        "open": sum(row.closed_s is None for row in rows),
        "users": len({row.user_id for row in rows if row.user_id is not None}),
        "events": sum(row.events for row in rows),
        "dropped_events": sum(row.dropped_events for row in rows),
        "seconds": round(seconds, 2),
        "caller_speech_s": round(caller_s, 2),
        "moshi_speech_s": round(moshi_s, 2),
        "exchanges": exchanges,
        "interruptions": interruptions,
        "dropped_frames": dropped,
        "quality": {level: levels[level] for level in ("excellent", "good", "fair", "poor", "unknown")},
    }


def _latest(store: StateStore, row: ConversationRow) -> Snapshot | None:
    # The last one is written when a conversation ends; of one that did not, all events are looked through.
    for after in (max(0, row.last_sequence - _TAIL), 0):
        found = [event for event in store.events(row.conversation, after) if isinstance(event, Snapshot)]
        if found:
            return found[-1]
        if not after:
            break
    return None
