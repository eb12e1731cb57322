"""Transport `openai-realtime`."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from coda_core import CodaError, Context, Kernel, Listening
from coda_core.network import tls_context
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from coda_openai_realtime.access import Access, chosen_subprotocol
from coda_openai_realtime.config import OpenaiRealtimeConfig
from coda_openai_realtime.refusal import CloseCode
from coda_openai_realtime.session import Session

__all__ = ["OpenaiRealtimeTransport", "open_transport"]

_QUEUE: Final = 8
"""Messages of one client that are taken from the network before they are looked at."""
_CLOSE_S: Final = 2.0
_SEND_BUFFER_BYTES: Final = 65_536
"""Of the system, for each client: what waits there is late already and cannot be taken back."""

# Neither requests with their keys nor the stack of every client that hangs up belong into a log.
_quiet = logging.getLogger("coda.openai_realtime.wire")
_quiet.setLevel(logging.CRITICAL)


class OpenaiRealtimeTransport:
    """Serves the kernel's conversations to clients of the OpenAI Realtime API until cancelled."""

    def __init__(self, config: OpenaiRealtimeConfig, context: Context) -> None:
        self._config = config
        self._context = context
        self._access = Access(config)
        self._inside = 0

    async def run(self, kernel: Kernel, ready: Callable[[], None]) -> None:
        async with self._listening(kernel) as server:
            url = self._url(server)
            self._context.logger.info("listening at %s", url)
            self._context.report(Listening(url=url))
            ready()
            await server.serve_forever()

    @asynccontextmanager
    async def _listening(self, kernel: Kernel) -> AsyncIterator[Server]:
        """Listen. Raises `CodaError` where the address or the certificate cannot be used."""
        config = self._config

        async def handle(connection: ServerConnection) -> None:
            self._inside += 1
            link = connection.transport.get_extra_info("socket")
            link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
            try:
                if self._inside <= config.max_connections:
                    await Session(kernel, config, self._context, self._access, connection).run()
                else:  # of several that came at the same moment
                    await connection.close(CloseCode.TRY_AGAIN, "too many connections")
            finally:
                self._inside -= 1

        serving = serve(
            handle,
            config.host.strip("[]"),
            config.port,
            process_request=self._let_in,
            select_subprotocol=chosen_subprotocol,
            compression=None,
            server_header=None,
            logger=_quiet,
            open_timeout=config.handshake_timeout_s,
            close_timeout=_CLOSE_S,
            ping_interval=config.ping_interval_s,
            ping_timeout=config.ping_timeout_s,
            max_size=config.max_message_bytes,
            max_queue=_QUEUE,
            ssl=self._tls(),
            start_serving=False,
        )
        try:
            server = await serving
        except OSError as error:
            raise CodaError(
                f"the transport openai-realtime cannot listen on {config.host} port {config.port}: "
                f"{error.strerror or error}; give another host or port, or end what listens there"
            ) from None
        try:
            await server.start_serving()
            yield server
        finally:
            server.close()
            await server.wait_closed()

    def _let_in(self, connection: ServerConnection, request: Request) -> Response | None:
        return self._access.let_in(connection, request, room=self._inside < self._config.max_connections)

    def _tls(self) -> ssl.SSLContext | None:
        config = self._config
        if config.tls_certificate is None or config.tls_key is None:
            return None
        return tls_context(config.tls_certificate, config.tls_key)

    def _url(self, server: Server) -> str:
        host, port = next(iter(server.sockets)).getsockname()[:2]
        scheme = "ws" if self._config.tls_certificate is None else "wss"
        return f"{scheme}://[{host}]:{port}/v1" if ":" in host else f"{scheme}://{host}:{port}/v1"


@asynccontextmanager
async def open_transport(config: OpenaiRealtimeConfig, context: Context) -> AsyncIterator[OpenaiRealtimeTransport]:
    """Make the transport; it listens while it runs."""
    yield OpenaiRealtimeTransport(config, context)
