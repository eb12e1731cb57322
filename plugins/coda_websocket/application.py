"""The ASGI application: mounted in another one, or served by `coda_websocket.server`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coda_core.clock import Clock, SystemClock
from coda_websocket.chat import Chat
from coda_websocket.config import WebsocketConfig
from coda_websocket.door import Door
from coda_websocket.events import Events
from coda_websocket.ledger import Ledger
from coda_websocket.metrics import Meters
from coda_websocket.opus import OpusPool
from coda_websocket.pages import Pages
from coda_websocket.seats import Seats
from coda_websocket.services import Services
from coda_websocket.site import site_routes

if TYPE_CHECKING:
    from coda_core.kernel import Kernel

__all__ = ["Application", "open_application"]

_logger = logging.getLogger("coda.websocket")


class Application:
    """An ASGI application with the conversations of one kernel."""

    def __init__(self, services: Services, routes: Sequence[BaseRoute]) -> None:
        self._services = services
        events = [WebSocketRoute("/api/events", Events(services).serve)]
        self._starlette = Starlette(
            routes=[
                WebSocketRoute("/api/chat", Chat(services).serve),
                *(events if services.config.websocket_events_enabled else ()),
                *Pages(services).routes(),
                *(site_routes() if services.config.page else ()),
                *routes,
            ],
            middleware=[Middleware(_Headers)],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._starlette(scope, receive, send)

    async def close(self, timeout_s: float) -> None:
        """Let nobody in any more and have everybody leave, in `timeout_s` at most. Safe to call again."""
        await self._services.door.close(timeout_s)


@asynccontextmanager
async def open_application(
    kernel: Kernel,
    config: WebsocketConfig,
    *,
    clock: Clock | None = None,
    logger: logging.Logger = _logger,
    routes: Sequence[BaseRoute] = (),
) -> AsyncIterator[Application]:
    """Make the application for a kernel that runs; on leaving, its peers are told to go.

    Of `config` what concerns connections is not used here: `host`, `port`, TLS and pings are the server's. `routes`
    are served beside the application's own.
    """
    clock = clock if clock is not None else SystemClock()
    meters = Meters(kernel)
    async with OpusPool(config.opus_processes, timed=meters.opus_took) as opus:
        meters.watch_opus(lambda: opus.load)
        services = Services(
            kernel=kernel,
            config=config,
            clock=clock,
            door=Door(config, meters, clock, logger),
            meters=meters,
            opus=opus,
            seats=Seats(kernel, grace_s=config.grace_s, send_buffer_frames=config.send_buffer_frames),
            ledger=Ledger(kernel),
            logger=logger,
        )
        writing = asyncio.create_task(services.ledger.run())
        application = Application(services, routes)
        try:
            yield application
        finally:
            await application.close(config.shutdown_timeout_s)
            writing.cancel()
            await asyncio.wait([writing])


class _Headers:
    """Tells browsers to keep nothing and to guess nothing."""

    ADDED: Final = (
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"x-frame-options", b"DENY"),
    )

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                there = {name.lower() for name, _ in message.get("headers", ())}
                added = [each for each in self.ADDED if each[0] not in there]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        await self._app(scope, receive, with_headers)
