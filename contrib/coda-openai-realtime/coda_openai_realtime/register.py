"""What this plugin offers. Light: what serves the network is imported when the transport is built."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Final

from coda_core import Component, Context, Requires, hookimpl

from coda_openai_realtime.config import OpenaiRealtimeConfig

if TYPE_CHECKING:
    from coda_openai_realtime.transport import OpenaiRealtimeTransport

CODA_CONTRACT: Final = 1


@hookimpl
def coda_register_transports() -> list[Component[OpenaiRealtimeConfig]]:
    return [
        Component(
            "openai-realtime",
            "Serves conversations to clients of the OpenAI Realtime API over WebSockets.",
            OpenaiRealtimeConfig,
            _open_transport,
            requires=Requires(modules=("soxr", "websockets"), install="coda-openai-realtime"),
        )
    ]


def _open_transport(
    config: OpenaiRealtimeConfig, context: Context
) -> AbstractAsyncContextManager[OpenaiRealtimeTransport]:
    from coda_openai_realtime.transport import open_transport

    return open_transport(config, context)
