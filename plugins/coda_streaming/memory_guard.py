"""Looks at a processor's memory, and says so before it is used up."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from coda_core.clock import Clock
from coda_core.events import Event, MemoryPressure
from coda_core.interfaces import Processor
from coda_core.memory import MemoryUse
from coda_streaming.worker import Worker

__all__ = ["MemoryGuard"]

_logger = logging.getLogger("coda.streaming")

_LOOK_S: Final = 1.0


class MemoryGuard:
    """Asks a processor that has a ``memory``, see `coda_core.interfaces.Watched`, about once a second.

    `refusal` is empty, or says why no conversation may be taken in now.
    """

    def __init__(self, processor: Processor, worker: Worker, clock: Clock, report: Callable[[Event], None]) -> None:
        self.refusal = ""
        self._look: Callable[[], MemoryUse] | None = getattr(processor, "memory", None)
        self._worker = worker
        self._clock = clock
        self._report = report

    async def run(self) -> None:
        """Look until cancelled, or until looking fails."""
        due = self._clock.now()
        while self._look is not None:
            due = max(due + _LOOK_S, self._clock.now())
            await self._clock.sleep_until(due)
            try:
                use = await self._worker.call(self._look)
            except Exception:
                _logger.exception("the processor's memory cannot be looked at, and is not watched any more")
                self.refusal = ""
                return
            self._take(use)

    def _take(self, use: MemoryUse) -> None:
        before, self.refusal = self.refusal, f"memory is short: {use}" if use.pressing else ""
        if bool(before) == use.pressing:
            return
        if use.pressing:
            _logger.warning("memory is short, and no conversation is taken in meanwhile: %s", use)
        else:
            _logger.info("memory is no longer short: %s", use)
        self._report(
            MemoryPressure(
                pressing=use.pressing,
                used_bytes=use.used_bytes,
                limit_bytes=use.limit_bytes,
                message=str(use),
                time_s=self._clock.wall(),
            )
        )
