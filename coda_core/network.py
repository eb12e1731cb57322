"""What every transport that listens on a network has to check, so that none of them checks it in a way of its own.

Whom it may serve (`check_server`, `is_loopback`), what a peer shows (`token_matches`), what it is encrypted with
(`tls_context`), and how much a peer may send (`Allowance`). Light, with what takes longest imported where it is
needed: settings are a part of every listing of plugins.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from coda_core.errors import CodaError

if TYPE_CHECKING:
    import ssl

__all__ = ["Allowance", "check_server", "is_loopback", "tls_context", "token_matches"]


def check_server(
    *,
    host: str,
    token: str | None,
    allow_without_token: bool = False,
    tls_certificate: Path | None = None,
    tls_key: Path | None = None,
    allowed_origins: Iterable[str] = (),
) -> None:
    """Check the settings of a server, which has them under these names; call it from ``__attrs_post_init__``.

    Raises `ValueError` where a certificate has no key or a key no certificate, where an address that other machines
    reach is to be served to everybody without `allow_without_token` insisting on it, and where one of
    `allowed_origins` is not scheme and host alone.
    """
    if (tls_certificate is None) != (tls_key is None):
        raise ValueError("tls_certificate and tls_key belong together; give both or neither")
    if token is None and not allow_without_token and not is_loopback(host):
        raise ValueError(
            f"host {host!r} can be reached from other machines and no token is set; set token, as in "
            'token = "${CODA_TOKEN}", or listen on 127.0.0.1, or insist with allow_without_token = true'
        )
    for origin in allowed_origins:
        scheme, _, name = origin.partition("://")
        if scheme not in ("http", "https") or not name or "/" in name:
            raise ValueError(f"{origin!r} is no origin; give scheme and host alone, as in https://example.org")


def is_loopback(host: str) -> bool:
    """Return whether an address is reached from this machine alone; False for names other than ``localhost``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def token_matches(expected: str, shown: Iterable[str]) -> bool:
    """Return whether one of the `shown` is the `expected`, in a time that says nothing about it."""
    import hmac

    wanted, found = expected.encode("utf-8", "surrogatepass"), False
    for token in shown:
        found |= hmac.compare_digest(token.encode("utf-8", "surrogatepass"), wanted)
    return found


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return what a server encrypts with: a `certificate` with its chain and its private `key`, both as PEM.

    Raises `CodaError` where they cannot be read or do not belong together.
    """
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        reason = os.strerror(error.errno) if isinstance(error, FileNotFoundError) and error.errno else str(error)
        raise CodaError(
            f"the TLS certificate {certificate} and key {key} cannot be used: {reason}; "
            "give PEM files that belong together and that this user may read"
        ) from None
    return context


@attrs.define
class Allowance:
    """So much a second on average, and a burst above it: a bucket that fills at a steady rate, and is full at first."""

    per_s: float
    """Bytes, messages, seconds of audio: whatever is taken."""
    burst: float
    """What may be taken at once."""
    now: Callable[[], float]
    """The time in seconds, as `Clock.now` tells it."""
    _left: float = attrs.field(init=False)
    _at: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._left = self.burst
        self._at = self.now()

    def take(self, amount: float) -> bool:
        """Take `amount`; False where it is not there, and then nothing is taken."""
        now = self.now()
        self._left = min(self.burst, self._left + (now - self._at) * self.per_s)
        self._at = now
        if amount > self._left:
            return False
        self._left -= amount
        return True
