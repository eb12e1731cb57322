"""Who may connect: paths, tokens and where they are shown, origins of web pages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qs, urlsplit

import attrs
from coda_core.network import is_loopback, token_matches
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from coda_openai_realtime.config import OpenaiRealtimeConfig
from coda_openai_realtime.dialect import BETA, TODAY, Dialect
from coda_openai_realtime.refusal import Refused, error_event

__all__ = ["Access", "asked_model", "chosen_subprotocol", "dialect_of"]

_SUBPROTOCOL: Final = "realtime"
_TOKEN_SUBPROTOCOL: Final = "openai-insecure-api-key."
_BETA_SUBPROTOCOL: Final = "openai-beta.realtime-v1"
_PATH_ENDING: Final = "/realtime"


def asked_model(request: Request) -> str | None:
    """Return the model that the address names."""
    return next(iter(parse_qs(urlsplit(request.path).query).get("model", ())), None)


def dialect_of(request: Request) -> Dialect:
    """Return what the client speaks: the beta's names where it says so."""
    beta = "realtime=v1" in ",".join(request.headers.get_all("OpenAI-Beta"))
    return BETA if beta or _BETA_SUBPROTOCOL in _offered(request) else TODAY


def chosen_subprotocol(_connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Agree on ``realtime``, or else on what a browser offers first: it insists on one of its own."""
    if _SUBPROTOCOL in offered:
        return Subprotocol(_SUBPROTOCOL)
    return offered[0] if offered else None


@attrs.frozen
class Access:
    """What the settings allow."""

    config: OpenaiRealtimeConfig

    def let_in(self, connection: ServerConnection, request: Request, *, room: bool) -> Response | None:
        """Return the answer to who is turned away before there is a WebSocket; None for everybody else.

        A web page without a valid token is let in this far: it cannot see the answer, so `refused` tells it later.
        """
        del connection
        if not urlsplit(request.path).path.rstrip("/").endswith(_PATH_ENDING):
            return _answer(404, Refused(code="not_found", message="There is nothing here but /v1/realtime."))
        if not room:
            message = "This server has as many connections as it takes; try again later."
            busy = Refused(type="server_error", code="too_many_connections", message=message)
            return _answer(503, busy, ("Retry-After", "10"))
        if self._refused_origin(request):
            message = "Pages of this origin may not connect; add it to allowed_origins, or set a token."
            return _answer(403, Refused(code="origin_not_allowed", message=message))
        refused = self.refused(request)
        if refused is None or _is_page(request):
            return None
        return _answer(401, refused, ("WWW-Authenticate", 'Bearer realm="coda"'))

    def refused(self, request: Request) -> Refused | None:
        """Return what is wrong with the key that a client shows, None where nothing is."""
        if self.config.token is None or token_matches(self.config.token, _shown(request)):
            return None
        return Refused(
            code="invalid_api_key", message="Incorrect API key provided: it is not the token of this server."
        )

    def _refused_origin(self, request: Request) -> bool:
        # A browser says where a page comes from, and a page of anywhere can reach this machine's own servers.
        origins = request.headers.get_all("Origin")
        return self.config.token is None and not all(self._is_known(origin, request) for origin in origins)

    def _is_known(self, origin: str, request: Request) -> bool:
        if origin in self.config.allowed_origins:
            return True
        # Some clients that are no browsers give the server's own address. A page cannot, unless it has had its own
        # name point to this machine: so the name must be one of this machine.
        parts = urlsplit(origin)
        own = is_loopback(parts.hostname or "") or parts.hostname == self.config.host
        return own and parts.netloc.lower() in [host.lower() for host in request.headers.get_all("Host")]


def _is_page(request: Request) -> bool:
    return "Origin" in request.headers or any(name.startswith(_TOKEN_SUBPROTOCOL) for name in _offered(request))


def _shown(request: Request) -> list[str]:
    tokens = []
    for header in request.headers.get_all("Authorization"):
        scheme, _, value = header.partition(" ")
        if scheme.lower() == "bearer":
            tokens.append(value.strip())
    offered = _offered(request)
    return tokens + [n.removeprefix(_TOKEN_SUBPROTOCOL) for n in offered if n.startswith(_TOKEN_SUBPROTOCOL)]


def _offered(request: Request) -> list[str]:
    headers = request.headers.get_all("Sec-WebSocket-Protocol")
    return [name.strip() for header in headers for name in header.split(",")]


def _answer(status: int, refused: Refused, *headers: tuple[str, str]) -> Response:
    body = json.dumps({"error": error_event(refused)["error"]}).encode()
    common = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("Connection", "close"),
    ]
    phrases = {401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 503: "Service Unavailable"}
    return Response(status, phrases[status], Headers([*common, *headers]), body)
