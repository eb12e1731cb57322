"""Transport `websocket`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from coda_core.events import Listening
from coda_core.interfaces import Context
from coda_websocket.application import open_application
from coda_websocket.config import WebsocketConfig
from coda_websocket.libopus import libopus_version
from coda_websocket.notes import note
from coda_websocket.server import serving

if TYPE_CHECKING:
    from coda_core.kernel import Kernel

__all__ = ["WebsocketTransport", "open_transport"]


class WebsocketTransport:
    """Serves the kernel's conversations to the network until cancelled."""

    def __init__(self, config: WebsocketConfig, context: Context) -> None:
        self._config = config
        self._context = context

    async def run(self, kernel: Kernel, ready: Callable[[], None]) -> None:
        config, context = self._config, self._context
        if config.log_conversations and context.logger.level == logging.NOTSET:
            context.logger.setLevel(logging.INFO)
        async with (
            open_application(kernel, config, clock=context.clock, logger=context.logger) as application,
            serving(application, config) as (url, running),
        ):
            note(context.logger, "listening", url=url, opus=libopus_version() or "sphn")
            context.report(Listening(url=url))
            ready()
            try:
                await running
            finally:
                note(context.logger, "ending", url=url)


@asynccontextmanager
async def open_transport(config: WebsocketConfig, context: Context) -> AsyncIterator[WebsocketTransport]:
    """Make the transport; it listens while it runs."""
    yield WebsocketTransport(config, context)
