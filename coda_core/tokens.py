"""The tokens by which a peer comes back to its conversation. What is stored of one is its digest."""

from __future__ import annotations

import hashlib
import hmac
import secrets

__all__ = ["digest_of", "matches", "new_token"]


def new_token() -> str:
    """Return a token of 256 random bits, in characters that a URL and a header can carry."""
    return secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    """Return the SHA-256 of a token, in hex."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def matches(token: str, digest: str) -> bool:
    """Return whether `digest` is that of `token`, in a time that does not tell how much of it is right."""
    return hmac.compare_digest(digest_of(token), digest)
