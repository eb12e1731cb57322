"""One WebSocket, with the bounds that hold for every peer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import attrs
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from coda_core.clock import Clock
from coda_core.network import Allowance
from coda_websocket.access import SUBPROTOCOL, offered_subprotocols, shown_tokens, subprotocol_for
from coda_websocket.config import WebsocketConfig
from coda_websocket.metrics import Meters

__all__ = ["CloseCode", "Gone", "Parting", "Peer", "Refusal"]

_FAREWELL_S: Final = 1.0
"""What a peer gets to take a close frame."""
_REASON_BYTES: Final = 123
"""What a close frame has room for."""
_BURST_S: Final = 5.0


class CloseCode:
    """The codes that this server closes with; see RFC 6455, section 7.4."""

    ENDED: Final = 1000
    GOING_AWAY: Final = 1001
    UNSUPPORTED: Final = 1003
    MALFORMED: Final = 1007
    POLICY: Final = 1008
    FAILED: Final = 1011
    TRY_AGAIN: Final = 1013


@attrs.frozen
class Parting(Exception):
    """This side ends the connection."""

    code: int
    reason: str
    may_return: bool = False
    """Whether its conversation waits for it, as after a connection that broke."""


@attrs.frozen
class Gone(Exception):
    """The other side has ended it, or is out of reach."""

    code: int


@attrs.frozen(kw_only=True)
class Refusal(Exception):
    """A connection that is not let in."""

    status: int
    """Of the HTTP answer, where the peer is a program."""
    code: int
    """Of the close frame, where it is a web page, which cannot see the answer."""
    reason: str
    label: str
    """For the metrics."""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    details: Mapping[str, Any] = attrs.field(factory=dict)
    unopened: bool = False
    """True where not even a web page gets a connection."""
    challenge: bool = False
    """True where a page's browser may have a password for this address that it shows only if it is asked."""


class Peer:
    """Receives within the limits, sends within a time, and is closed once."""

    def __init__(self, socket: WebSocket, endpoint: str, config: WebsocketConfig, meters: Meters, clock: Clock) -> None:
        self.socket = socket
        self.endpoint = endpoint
        self.address = socket.client.host if socket.client else ""
        self.tokens = shown_tokens(socket, in_query=config.token_in_query)
        """What it has shown so far."""
        self.leaving: asyncio.Future[Parting] = asyncio.get_running_loop().create_future()
        """Set where somebody else has decided that it must go."""
        self._config = config
        self._meters = meters
        self._messages = Allowance(config.max_messages_per_s, _BURST_S * config.max_messages_per_s, clock.now)
        self._open = False
        self.gone = False
        """Whether it has hung up."""

    @property
    def is_page(self) -> bool:
        """Whether it is a web page."""
        return "origin" in self.socket.headers

    @property
    def accepted(self) -> bool:
        return self._open

    async def accept(self, headers: Mapping[str, str] | None = None) -> None:
        """Open the socket; does nothing where it is open."""
        if self._open:
            return
        raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        try:
            await self.socket.accept(subprotocol=subprotocol_for(self.socket), headers=raw)
        except WebSocketDisconnect as gone:
            raise Gone(gone.code) from None
        self._open = True
        self._meters.connections.labels(self.endpoint).inc()

    async def receive(self, timeout_s: float | None) -> bytes | str:
        """Return the next message; raises `Gone`, and `Parting` where none came in time or too many did."""
        try:
            async with asyncio.timeout(timeout_s):
                message = await self.socket.receive()
        except TimeoutError:
            raise Parting(CloseCode.POLICY, f"nothing was heard from you for {timeout_s:g} s", True) from None
        if message["type"] == "websocket.disconnect":
            self.gone = True
            raise Gone(message.get("code") or 1006)
        data: bytes | str | None = message.get("bytes")
        if data is None:
            data = message.get("text") or ""
        size = len(data)
        self._meters.received_bytes.inc(size)
        if not self._messages.take(1):
            raise Parting(CloseCode.POLICY, f"more than {self._config.max_messages_per_s:g} messages a second")
        if size > self._config.max_message_bytes:
            raise Parting(1009, f"a message of {size} bytes; this server takes {self._config.max_message_bytes}")
        return data

    async def send(self, data: bytes | str) -> None:
        """Send a message; raises `Gone`, and `Parting` where the peer does not take it in time."""
        try:
            async with asyncio.timeout(self._config.send_timeout_s):
                await (self.socket.send_bytes(data) if isinstance(data, bytes) else self.socket.send_text(data))
        except TimeoutError:
            raise Parting(CloseCode.POLICY, f"you took nothing for {self._config.send_timeout_s:g} s", True) from None
        except (WebSocketDisconnect, RuntimeError):
            # Starlette's word for a socket on which a close frame has gone out or come in.
            raise Gone(1006) from None
        self._meters.sent_bytes.inc(len(data))

    async def refuse(self, refusal: Refusal, last_words: bytes | str | None = None) -> None:
        """Turn it away: a program before the upgrade, with an HTTP answer, a page behind it, with a close code.

        `last_words` are sent where a connection is open, or opened for that.
        """
        self._meters.refused.labels(refusal.label).inc()
        if not self._open and self._sees_close_codes(refusal):
            await self.accept()
        if self._open:
            if last_words is not None:
                await self.say(last_words)
            await self.close(refusal.code, refusal.reason)
        else:
            answer = JSONResponse(
                {"error": refusal.reason, **refusal.details}, refusal.status, headers=dict(refusal.headers)
            )
            with suppress(WebSocketDisconnect, RuntimeError):
                await self.socket.send_denial_response(answer)

    async def say(self, last_words: bytes | str) -> None:
        """Send something before closing, if it is taken."""
        if self._open:
            with suppress(Gone, Parting, TimeoutError):
                async with asyncio.timeout(_FAREWELL_S):
                    await self.send(last_words)

    def _sees_close_codes(self, refusal: Refusal) -> bool:
        """Whether it is to be told by a close code: a page, unless a challenge may bring its browser's password."""
        if not self.is_page or refusal.unopened:
            return False
        return not refusal.challenge or bool(self.tokens) or SUBPROTOCOL in offered_subprotocols(self.socket)

    async def close(self, code: int, reason: str) -> None:
        """Close it, whether or not it takes the word; does nothing where it is closed."""
        if not self._open:
            return
        self.closed(code)
        if self.socket.application_state is WebSocketState.CONNECTED:
            text = reason.encode()[:_REASON_BYTES].decode("utf-8", "ignore")
            with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
                async with asyncio.timeout(_FAREWELL_S):
                    await self.socket.close(code, text)

    def closed(self, code: int) -> None:
        """Count that it is closed."""
        if self._open:
            self._open = False
            self._meters.connections.labels(self.endpoint).dec()
            self._meters.closed.labels(str(code)).inc()

    def dismiss(self, parting: Parting) -> None:
        """Have it leave; for those who do not serve it themselves."""
        if not self.leaving.done():
            self.leaving.set_result(parting)
