"""Who may do what: tokens and where they are shown, origins, and the names that this server goes by."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from urllib.parse import urlsplit

import attrs
from starlette.requests import HTTPConnection

from coda_core.network import is_loopback, token_matches
from coda_websocket.config import WebsocketConfig

__all__ = [
    "CHALLENGE",
    "SUBPROTOCOL",
    "Access",
    "offered_subprotocols",
    "shown_tokens",
    "subprotocol_for",
]

SUBPROTOCOL = "coda"
"""What is agreed on where a client offers it."""
_TOKEN_SUBPROTOCOL = "coda.token."
CHALLENGE = 'Basic realm="coda", charset="UTF-8", Bearer realm="coda"'
"""``WWW-Authenticate`` of a refusal."""
_DEFAULT_PORTS = {"http": ":80", "https": ":443", "ws": ":80", "wss": ":443"}


def shown_tokens(connection: HTTPConnection, *, in_query: bool) -> tuple[str, ...]:
    """Return every token that a request shows: Bearer, Basic password, subprotocols and, `in_query`, ``token``."""
    tokens: list[str] = []
    for header in connection.headers.getlist("authorization"):
        scheme, _, value = header.partition(" ")
        if scheme.lower() == "bearer":
            tokens.append(value.strip())
        elif scheme.lower() == "basic":
            tokens += _password(value.strip())
    tokens += [
        offered.removeprefix(_TOKEN_SUBPROTOCOL)
        for offered in offered_subprotocols(connection)
        if offered.startswith(_TOKEN_SUBPROTOCOL)
    ]
    if in_query:
        tokens += connection.query_params.getlist("token")
    return tuple(tokens)


def offered_subprotocols(connection: HTTPConnection) -> list[str]:
    """Return the subprotocols that a WebSocket offers, in its order."""
    headers = connection.headers.getlist("sec-websocket-protocol")
    return [name.strip() for header in headers for name in header.split(",")]


def subprotocol_for(connection: HTTPConnection) -> str | None:
    """Return the subprotocol to agree on: ``coda``, or else the one that shows a token, which a browser insists on."""
    offered = offered_subprotocols(connection)
    if SUBPROTOCOL in offered:
        return SUBPROTOCOL
    return next((name for name in offered if name.startswith(_TOKEN_SUBPROTOCOL)), None)


def _password(encoded: str) -> list[str]:
    try:
        decoded = base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        return []
    user, colon, password = decoded.partition(":")
    # aiohttp makes a user name without a password of `ws://TOKEN@host`.
    return [password or user] if colon else []


@attrs.frozen
class Access:
    """What the settings allow."""

    config: WebsocketConfig

    def is_caller(self, shown: Sequence[str]) -> bool:
        """Return whether these tokens, maybe none, let somebody open a conversation."""
        return self.config.token is None or token_matches(self.config.token, shown)

    def is_operator(self, shown: Sequence[str]) -> bool:
        """Return whether these tokens, maybe none, open what is for operators."""
        if self.config.operator_token is None:
            return self.config.token is None
        return token_matches(self.config.operator_token, shown)

    def refused_origin(self, connection: HTTPConnection) -> str | None:
        """Return why a request from a web page is refused, None where it is not.

        A request without Origin comes from a program, which could send any. The host is looked at where no token
        protects this server: a page can give its own name this machine's address, and is of the same origin then.
        """
        host = connection.headers.get("host", "")
        if self.config.token is None and not self.config.allow_without_token and not self._is_own_name(host):
            return "this server has no token and answers to names of this machine alone; set token to serve others"
        origin = connection.headers.get("origin")
        if origin is None or origin in self.config.allowed_origins or _same_origin(origin, host):
            return None
        return "pages of this origin may not connect; add it to allowed_origins"

    def _is_own_name(self, host: str) -> bool:
        name = urlsplit(f"//{host}").hostname or ""
        allowed = {urlsplit(origin).hostname for origin in self.config.allowed_origins}
        return is_loopback(name) or name == self.config.host or name in allowed or not name


def _same_origin(origin: str, host: str) -> bool:
    parts = urlsplit(origin)
    port = _DEFAULT_PORTS.get(parts.scheme)
    if port is None or not parts.netloc:
        return False
    return parts.netloc.lower().removesuffix(port) == host.lower().removesuffix(port)
