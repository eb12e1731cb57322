"""Names for what the protocol numbers."""

from __future__ import annotations

import secrets

__all__ = ["new_id"]


def new_id(kind: str) -> str:
    """Return a name that nobody else has, as in ``item_4f0c...``."""
    return f"{kind}_{secrets.token_hex(10)}"
