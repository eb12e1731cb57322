"""The kind `transport`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from coda_core.kernel import Kernel

__all__ = ["Transport"]


class Transport(Protocol):
    """Carries conversations to a peer. On L."""

    async def run(self, kernel: Kernel, ready: Callable[[], None]) -> None:
        """Serve until there is nothing more to do, or until cancelled.

        Call `ready` once, when listening or subscribed: the audio source starts when every transport is ready.
        """
