"""The plain HTTP pages: is it alive, is it ready, what does it measure, who is talking."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from coda_websocket.access import CHALLENGE, shown_tokens
from coda_websocket.metrics import CONTENT_TYPE
from coda_websocket.services import Services

__all__ = ["Pages"]

Handler = Callable[[Request], Awaitable[Response]]
_MOST_ROWS: Final = 1000


class Pages:
    """Answers requests that are no WebSockets."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[BaseRoute]:
        """Return a route for each page."""
        return [
            Route("/healthz", self._open(self._healthz)),
            Route("/readyz", self._open(self._readyz)),
            Route("/metrics", self._for_operators(self._metrics)),
            Route("/api/conversations", self._for_operators(self._conversations)),
            Route("/api/conversations/{id}", self._for_operators(self._conversation)),
            Route("/api/conversations/{id}/transcript", self._for_operators(self._transcript)),
        ]

    def _open(self, handler: Handler) -> Handler:
        """For everybody whose origin is right."""

        async def guarded(request: Request) -> Response:
            refused = self._services.door.access.refused_origin(request)
            if refused is not None:
                return _refuse(403, refused)
            try:
                return await handler(request)
            except Exception:
                self._services.logger.exception("a request for %s failed", request.scope["route"].path)
                return _refuse(500, "internal error")

        return guarded

    def _for_operators(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            config, access = self._services.config, self._services.door.access
            if config.operator_token is None and config.token is not None:
                return _refuse(403, "this page is closed: the server has no operator_token")
            if not access.is_operator(shown_tokens(request, in_query=config.token_in_query)):
                self._services.meters.refused.labels("operator").inc()
                return _refuse(401, "the operator's token is needed", {"WWW-Authenticate": CHALLENGE})
            return await handler(request)

        return self._open(guarded)

    async def _healthz(self, _request: Request) -> Response:
        return JSONResponse({"ok": True})

    async def _readyz(self, request: Request) -> Response:
        kernel = self._services.kernel
        measures = kernel.measures()
        # Those whose peer is gone make room for who comes.
        gone = [each for each in kernel.conversations.values() if each.detached_since_s is not None]
        left = sum(each.status == "paused" for each in gone) if "park" in kernel.info.capabilities else 0
        taken = measures.live - left
        free = max(0, measures.capacity - max(0, taken))
        ready = free > 0 and not self._services.door.closing
        answer: dict[str, Any] = {"ready": ready}
        if self._services.door.access.is_operator(shown_tokens(request, in_query=self._services.config.token_in_query)):
            answer |= {"capacity": measures.capacity, "free": free, "load": round(measures.load, 3)}
        return JSONResponse(answer, 200 if ready else 503, headers={} if ready else {"Retry-After": "10"})

    async def _metrics(self, _request: Request) -> Response:
        return Response(self._services.meters.page(), headers={"Content-Type": CONTENT_TYPE})

    async def _conversations(self, request: Request) -> Response:
        asked = request.query_params.get("limit", "100")
        if not asked.isdecimal() or len(asked) > 6:
            return _refuse(400, f"limit is {asked[:20]!r}; give a whole number")
        return JSONResponse({"conversations": self._services.ledger.rows(min(int(asked), _MOST_ROWS))})

    async def _conversation(self, request: Request) -> Response:
        row = self._services.ledger.row(request.path_params["id"])
        return _refuse(404, "there is no such conversation") if row is None else JSONResponse(row)

    async def _transcript(self, request: Request) -> Response:
        id = request.path_params["id"]
        transcript = self._services.ledger.transcript(id)
        if transcript is None:
            return _refuse(404, "there is no such conversation")
        return JSONResponse({"conversation": id, "transcript": transcript})


def _refuse(status: int, reason: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": reason}, status, headers=headers)
