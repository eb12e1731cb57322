"""How a follower behaves, and when it is left out.

One that takes too long for a step falls behind and skips records: that is counted, and harms nobody. One that goes on
like that, or raises again and again, is put in quarantine. One that does not come back from a call at all cannot be
stopped, as a thread cannot: its queue is closed, and it is left behind.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, Literal

import attrs

from coda_core.interfaces import FollowerMeasures
from coda_streaming.histogram import Histogram

__all__ = ["Call", "Conduct", "Containment", "Reason"]

Call = Literal["feed", "open", "export", "close", "call"]
Reason = Literal["slow", "failing", "hung"]

_CALL_S: Final = 1.0
"""Budget of what is asked of a follower beside steps: somebody waits for it, and no audio does."""


@attrs.frozen
class Containment:
    """The rules."""

    feed_s: float | None
    """What one step may take; None where the sender waits for a slow follower."""
    strikes: int
    """Steps that failed or took too long, less those that were well, at which it is left out."""
    hang_s: float
    """What any call may take before it counts as hung."""


class Conduct:
    """One follower's calls. Written on F; what is read elsewhere may be a call old."""

    def __init__(self, rules: Containment) -> None:
        self.rules = rules
        self.failures = 0
        self.quarantine: Reason | None = None
        self._strikes = 0
        self._overruns: Counter[str] = Counter()
        self._taken: dict[Call, Histogram] = {}

    def fed(self, seconds: float, *, failed: bool) -> Reason | None:
        """Take in a call of `feed`; return why it is to be left out from now on, None where it is not."""
        self.took("feed", seconds)
        slow = self.rules.feed_s is not None and seconds > self.rules.feed_s
        self.failures += failed
        if not failed and not slow:
            self._strikes = max(0, self._strikes - 1)
            return None
        self._strikes += 1
        if self._strikes < self.rules.strikes:
            return None
        return "failing" if failed else "slow"

    def took(self, call: Call, seconds: float) -> None:
        """Take in how long a call took."""
        histogram = self._taken.get(call)
        if histogram is None:
            histogram = self._taken[call] = Histogram()
        histogram.add(seconds)
        budget = self.rules.feed_s if call == "feed" else _CALL_S
        if budget is not None and seconds > budget:
            self._overruns[call] += 1

    def measures(self) -> FollowerMeasures:
        taken, overruns = self._taken.copy(), self._overruns.copy()
        return FollowerMeasures(
            calls_s={call: each.distribution() for call, each in taken.items()},
            overruns=dict(overruns),
            failures=self.failures,
            quarantine=self.quarantine or "",
        )

    def words(self, label: str, reason: Reason) -> str:
        """Return what a person is told when a follower is left out."""
        rules = self.rules
        after = "Audio goes on without it; start Coda again to have it back"
        if reason == "hung":
            return (
                f'"{label}" did not return from a call within {rules.hang_s:g} s and is left out from now on. Its '
                "thread cannot be stopped: its queue is closed, what waited in it is thrown away, and the thread is "
                f"left behind. {after}"
            )
        what = f"took longer than {(rules.feed_s or 0) * 1000:g} ms" if reason == "slow" else "raised an error"
        limit = f"follower_strikes = {rules.strikes}"
        return f'"{label}" is left out from now on: it {what} in too many steps ({limit}). {after}'
