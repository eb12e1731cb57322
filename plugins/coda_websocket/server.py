"""Serves the application with uvicorn, inside the kernel's event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final

import uvicorn

from coda_core.errors import CodaError
from coda_core.network import tls_context
from coda_websocket.application import Application
from coda_websocket.config import WebsocketConfig
from coda_websocket.guard import GuardedConfig
from coda_websocket.limits import Gate

__all__ = ["serving"]

_SPARE_CONNECTIONS: Final = 64
"""For short requests, beside WebSockets: a full house must still be able to say so."""
_LAST_WORDS_S: Final = 1
_REQUEST_BYTES: Final = 65_536


class _Server(uvicorn.Server):
    """Leaves signals to the program, and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(application: Application, config: WebsocketConfig) -> AsyncIterator[tuple[str, asyncio.Task[None]]]:
    """Listen; yield the server's URL, and the task that ends only if the server fails.

    On leaving, nobody is let in any more, peers are told to go, and after `WebsocketConfig.shutdown_timeout_s` it is
    over in any case. Raises `CodaError` where the address or the certificate cannot be used.
    """
    sockets = _listen(config.host, config.port)
    try:
        server = _Server(_settings(application, config))
        running = asyncio.create_task(server.serve(sockets))
        starting = asyncio.create_task(server.listening.wait())
        try:
            await asyncio.wait((running, starting), return_when=asyncio.FIRST_COMPLETED)
            yield _url(config, sockets[0]), running
        finally:
            starting.cancel()
            if not running.done():
                for listening in getattr(server, "servers", ()):
                    listening.close()
                await application.close(config.shutdown_timeout_s)
                server.should_exit = True
            with suppress(asyncio.CancelledError):
                await running
    finally:
        for each in sockets:
            each.close()


def _settings(application: Application, config: WebsocketConfig) -> GuardedConfig:
    total = config.max_connections + _SPARE_CONNECTIONS
    # Behind a proxy every connection is the proxy's: whose they are is known to the application alone.
    of_one = total if config.trusted_proxies else config.max_connections_per_address + _SPARE_CONNECTIONS
    settings = GuardedConfig(
        application,
        gate=Gate(total, of_one),
        request_timeout_s=config.handshake_timeout_s,
        bytes_per_s=config.max_bytes_per_s,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(config.trusted_proxies),
        forwarded_allow_ips=list(config.trusted_proxies),
        h11_max_incomplete_event_size=_REQUEST_BYTES,
        ws_max_size=config.max_message_bytes,
        ws_ping_interval=config.ping_interval_s,
        ws_ping_timeout=config.ping_timeout_s,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=_LAST_WORDS_S,
    )
    settings.load()
    if config.tls_certificate is not None and config.tls_key is not None:
        settings.ssl = tls_context(config.tls_certificate, config.tls_key)
    return settings


def _listen(host: str, port: int) -> list[socket.socket]:
    """Return bound sockets, one for each address of `host`; raises `CodaError`."""
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, number, _, address in found:
            one = socket.socket(family, kind, number)
            sockets.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(address)
    except OSError as error:
        for each in sockets:
            each.close()
        raise CodaError(
            f"the websocket transport cannot listen on {host} port {port}: {error.strerror or error}; "
            "give another host or port, or end what listens there"
        ) from None
    return sockets


def _url(config: WebsocketConfig, listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    scheme = "https" if config.tls_certificate is not None else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
