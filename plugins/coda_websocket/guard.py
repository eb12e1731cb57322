"""What stands between the network and the application: uvicorn's protocols, with bounds that they lack.

Connections are counted before a byte of theirs is read, a request must be complete in time, the bytes of a WebSocket
are counted whatever they are (pings never reach the application), a peer that does not read is not read from, and one
that is to go is gone after a moment, with what it has not taken.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import Any, Final, cast

import h11
import uvicorn
from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from coda_core.network import Allowance
from coda_websocket.limits import Gate

__all__ = ["GuardedConfig", "GuardedHttp", "GuardedWebSocket"]

SEND_BUFFER_BYTES: Final = 32_768
"""Of the system, for each connection: what waits there is late already and cannot be taken back."""
WRITE_BUFFER_BYTES: Final = 32_768
"""Of this process, for each connection."""
LINGER_S: Final = 2.0
"""What a peer gets to take what was written before its connection ended."""
BURST_S: Final = 5.0

# Neither requests with their queries nor frames with their contents belong into a log, and of what fails in the
# application the application says more.
_quiet = logging.getLogger("coda.websocket.wire")
_quiet.setLevel(logging.CRITICAL)


class GuardedConfig(uvicorn.Config):
    """uvicorn's settings, and the bounds."""

    def __init__(self, app: Any, *, gate: Gate, request_timeout_s: float, bytes_per_s: float, **settings: Any) -> None:
        super().__init__(app, http=GuardedHttp, ws=GuardedWebSocket, **settings)
        self.gate = gate
        self.request_timeout_s = request_timeout_s
        self.bytes_per_s = bytes_per_s


class GuardedHttp(H11Protocol):
    """A connection until it is a WebSocket."""

    _timer: asyncio.TimerHandle | None = None
    _answered = _answered_before = 0
    _address: str | None = None
    """Where it was let in from; None where it was not."""

    @property
    def bounds(self) -> GuardedConfig:
        return cast(GuardedConfig, self.config)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.logger = self.access_logger = _quiet
        self.access_log = False
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if not self.bounds.gate.enter(address):
            transport.abort()
            return
        self._address = address
        link = transport.get_extra_info("socket")
        if link is not None:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        if self._address is not None:
            self.bounds.gate.leave(self._address)
            self._address = None
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._stop_waiting()
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        self._answered += 1
        super().on_response_complete()

    def _wait_for_request(self) -> None:
        self._timer = self.loop.call_later(self.bounds.request_timeout_s, self._look)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Close a connection on which nothing was asked since the last look; one that is being answered has time."""
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy or self._answered > self._answered_before:
            self._answered_before = self._answered
            self._wait_for_request()
        else:
            self.transport.abort()


class GuardedWebSocket(WebSocketsSansIOProtocol):
    """A connection that is a WebSocket."""

    _last_moment: asyncio.TimerHandle | None = None

    @property
    def bounds(self) -> GuardedConfig:
        return cast(GuardedConfig, self.config)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.logger = _quiet
        self.conn.logger = _quiet
        self.conn.debug = False
        per_s = self.bounds.bytes_per_s
        burst = max(BURST_S * per_s, 2.0 * self.config.ws_max_size)
        self._bytes = Allowance(per_s, burst, time.monotonic)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.bounds.gate.leave(self.client[0] if self.client else "")
        if self._last_moment is not None:
            self._last_moment.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._bytes.take(len(data)):
            super().data_received(data)
        elif not self.transport.is_closing():
            self._fail(1008, "more bytes than this server takes")

    def pause_writing(self) -> None:
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.read_paused:
            self.transport.resume_reading()

    async def receive(self) -> ASGIReceiveEvent:
        message = await super().receive()
        if not self.writable.is_set():
            self.transport.pause_reading()
        return message

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._go_soon()

    async def run_asgi(self) -> None:
        try:
            await super().run_asgi()
        finally:
            self._go_soon()

    def _fail(self, code: int, reason: str) -> None:
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.fail(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.transport.close()

    def _go_soon(self) -> None:
        """Let go of a peer that takes no more, or does not answer a close frame: a plain close would wait for it."""
        if not self.disconnected and self._last_moment is None:
            self._last_moment = self.loop.call_later(LINGER_S, self.transport.abort)
