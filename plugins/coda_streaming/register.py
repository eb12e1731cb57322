"""What `coda_streaming` registers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from coda_core.hookspecs import hookimpl
from coda_core.interfaces import Component, Context
from coda_streaming.config import OfflineConfig, RealtimeConfig

CODA_CONTRACT = 1


@asynccontextmanager
async def _open(config: RealtimeConfig | OfflineConfig, context: Context) -> AsyncIterator[Any]:
    from coda_streaming.manager import open_streaming

    async with open_streaming(config, context) as manager:
        yield manager


@hookimpl
def coda_register_streaming_managers() -> Sequence[Component[Any]]:
    return (
        Component(
            name="realtime",
            summary="Frames on time: bounded queues, counted drops, admission by measurement.",
            config=RealtimeConfig,
            factory=_open,
        ),
        Component(
            name="offline",
            summary="As fast as the model goes: nothing is dropped, the sender waits.",
            config=OfflineConfig,
            factory=_open,
        ),
    )
