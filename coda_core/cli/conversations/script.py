"""What happened to a recorded conversation from outside, and at which frame: all that its tokens depend on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from coda_core.events import Event, Fault, Injection, Interrupted, Parked, Saved, Unparked, Withdrawn
from coda_core.recording import Recording

__all__ = ["Order", "Script", "Stretch", "script_of"]

Order = Injection | Withdrawn | Interrupted
"""A text that was queued, one that was taken back, and being told to fall silent; before step `frame`."""


@attrs.frozen(kw_only=True)
class Stretch:
    """Frames in a row that one model state lived through."""

    first: int
    end: int
    """Index of the frame behind the last one."""
    orders: Sequence[Order] = ()
    """By frame; those of one frame in the order in which they were given."""


@attrs.frozen(kw_only=True)
class Script:
    """A conversation, to be run again."""

    stretches: Sequence[Stretch]
    """More than one where the model's state was lost and it began afresh."""
    frames: int
    """Of the recording; more than the stretches have where some are missing."""
    missing: int | None
    """The first frame that was not recorded; nothing behind it can be run again."""


def script_of(events: Iterable[Event], recording: Recording) -> Script:
    """Return what to run again."""
    orders, restarts = _happened(events)
    seen = recording.rows["seen"].tolist()
    failed = {frame - 1 for frame in restarts}
    missing = next((at for at, here in enumerate(seen) if not here and at not in failed), None)
    end = recording.frames if missing is None else missing
    stretches = []
    for first, behind in zip((0, *restarts), (*restarts, None), strict=True):
        # The step before a fresh start is the one that failed: the state that it tore is gone.
        last = end if behind is None else min(behind - 1, end)
        if first < last:
            mine = tuple(order for order in orders if first <= (order.frame or 0) < last)
            stretches.append(Stretch(first=first, end=last, orders=mine))
    return Script(stretches=stretches, frames=recording.frames, missing=missing)


def _happened(events: Iterable[Event]) -> tuple[list[Order], list[int]]:
    """Return orders and fresh starts; what a kill has undone is not among them."""
    orders: list[Order] = []
    restarts: list[int] = []
    saved, killed = 0, False
    for event in events:
        match event:
            case Injection(status="queued") | Withdrawn() | Interrupted():
                orders.append(event)
            case Fault(restarted=True):
                restarts.append(event.frame or 0)
            case Saved():
                saved = len(orders)
            case Parked():
                killed = event.reason == "interrupted"
            case Unparked() if killed:
                # It goes on from what was saved: later steps are done again, without what was asked for then.
                again = event.frame or 0
                orders = [
                    order
                    for at, order in enumerate(orders)
                    if (order.frame or 0) < again or (order.frame == again and at < saved)
                ]
                restarts = [frame for frame in restarts if frame <= again]
    return sorted(orders, key=lambda order: order.frame or 0), restarts
