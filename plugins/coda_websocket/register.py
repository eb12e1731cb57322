"""What `coda_websocket` offers. Light: what serves the network is imported when the transport is built."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final

from coda_core.hookspecs import hookimpl
from coda_core.interfaces import Component, Context, Requires
from coda_websocket.config import WebsocketConfig

if TYPE_CHECKING:
    from coda_websocket.transport import WebsocketTransport

CODA_CONTRACT: Final = 1

_REQUIRES: Final = Requires(
    modules=("starlette", "uvicorn", "websockets", "prometheus_client", "sphn"), install="coda-core[websocket]"
)


@hookimpl
def coda_register_transports() -> Sequence[Component[Any]]:
    return [
        Component(
            "websocket",
            "Serves conversations to Kyutai's clients, programs and operators over HTTP and WebSockets.",
            WebsocketConfig,
            _open_transport,
            requires=_REQUIRES,
        )
    ]


def _open_transport(config: WebsocketConfig, context: Context) -> AbstractAsyncContextManager[WebsocketTransport]:
    from coda_websocket.transport import open_transport

    return open_transport(config, context)
