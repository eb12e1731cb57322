"""What the endpoints of one transport share."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import attrs

from coda_core.clock import Clock
from coda_websocket.config import WebsocketConfig
from coda_websocket.door import Door
from coda_websocket.ledger import Ledger
from coda_websocket.metrics import Meters
from coda_websocket.opus import OpusPool
from coda_websocket.seats import Seats

if TYPE_CHECKING:
    from coda_core.kernel import Kernel

__all__ = ["Services"]


@attrs.frozen(eq=False, kw_only=True)
class Services:
    """Made by `coda_websocket.application.open_application`."""

    kernel: Kernel
    config: WebsocketConfig
    clock: Clock
    door: Door
    meters: Meters
    opus: OpusPool
    seats: Seats
    ledger: Ledger
    logger: logging.Logger
