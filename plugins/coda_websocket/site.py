"""The web page at ``/``: a few static files, read once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

__all__ = ["site_routes"]

_FILES: Final = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "page.js": "text/javascript; charset=utf-8",
    "worker.js": "text/javascript; charset=utf-8",
    "session.js": "text/javascript; charset=utf-8",
    "sound.js": "text/javascript; charset=utf-8",
    "timeline.js": "text/javascript; charset=utf-8",
    "recording.js": "text/javascript; charset=utf-8",
    "capture.js": "text/javascript; charset=utf-8",
    "playback.js": "text/javascript; charset=utf-8",
}

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; worker-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page talks to its own server and to nobody else, and nothing that is said can become a script."""

_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
}


def site_routes() -> list[BaseRoute]:
    """Return the routes of the page and of what it is made of."""
    folder = resources.files("coda_websocket") / "page"
    served = [(name, (folder / name).read_bytes(), kind) for name, kind in _FILES.items()]
    return [
        Route("/" if name == "index.html" else f"/{name}", _serving(content, kind)) for name, content, kind in served
    ]


def _serving(content: bytes, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def serve(_request: Request) -> Response:
        return Response(content, media_type=kind, headers=_HEADERS)

    return serve
