"""Telling observers, and now and then the log, how a sound device is doing."""

from __future__ import annotations

from typing import Final

from coda_core.interfaces import Context
from coda_core.sound import DeviceMeasured

__all__ = ["DeviceReport"]

_QUIET_S: Final = 10.0
"""Between two lines in the log."""


class DeviceReport:
    """Passes measures on; glitches are also logged, at most every ten seconds. On the event loop."""

    def __init__(self, what: str, context: Context) -> None:
        self._what = what
        self._context = context
        self._logged_glitches = 0
        self._logged_dropped_s = 0.0
        self._logged_s = float("-inf")

    def __call__(self, measured: DeviceMeasured, *, last: bool = False) -> None:
        """Report; where it is the `last` time, the log is not made to wait."""
        self._context.report(measured)
        now = self._context.clock.now()
        news = measured.glitches > self._logged_glitches or measured.dropped_s > self._logged_dropped_s
        if news and (last or now - self._logged_s >= _QUIET_S):
            self._logged_glitches, self._logged_dropped_s = measured.glitches, measured.dropped_s
            self._logged_s = now
            self._context.logger.warning(
                "the %s %s so far: %d xruns, %d underruns, %.2f s thrown away to catch up%s",
                *(self._what, measured.device, measured.xruns, measured.underruns, measured.dropped_s),
                "; a larger latency_ms helps against xruns" if measured.xruns else "",
            )
