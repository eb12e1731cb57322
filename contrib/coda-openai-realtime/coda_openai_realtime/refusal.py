"""What a client did wrong, or what went wrong here, as the protocol says it: an error event, or the end."""

from __future__ import annotations

from typing import Any, Final

import attrs

__all__ = ["CloseCode", "Parting", "Refused", "error_event"]


class CloseCode:
    """The codes that this server closes with; see RFC 6455, section 7.4."""

    ENDED: Final = 1000
    GOING_AWAY: Final = 1001
    POLICY: Final = 1008
    FAILED: Final = 1011
    TRY_AGAIN: Final = 1013


@attrs.frozen(kw_only=True)
class Refused(Exception):
    """A client's event that is not carried out. The session goes on."""

    code: str
    message: str
    param: str | None = None
    """Which field is to blame, as in ``session.audio.input.format``."""
    event_id: str | None = None
    """Of the client's event, where it had one."""
    type: str = "invalid_request_error"


@attrs.frozen
class Parting(Exception):
    """This side ends the connection."""

    code: int
    reason: str
    error: Refused | None = None
    """What is said before."""


def error_event(refused: Refused) -> dict[str, Any]:
    """Return the event that tells the client."""
    return {
        "type": "error",
        "error": {
            "type": refused.type,
            "code": refused.code,
            "message": refused.message,
            "param": refused.param,
            "event_id": refused.event_id,
        },
    }
