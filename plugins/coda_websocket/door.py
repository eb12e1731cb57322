"""The way in, which is the same for every WebSocket, and the way out."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from starlette.websockets import WebSocket

from coda_core.clock import Clock
from coda_core.errors import CodaError, ConversationBroken, ConversationClosed, ConversationParked
from coda_websocket.access import CHALLENGE, Access
from coda_websocket.config import WebsocketConfig
from coda_websocket.limits import Gate
from coda_websocket.metrics import Meters
from coda_websocket.notes import note
from coda_websocket.peer import CloseCode, Gone, Parting, Peer, Refusal
from coda_websocket.protocol import Kind

__all__ = ["Door", "first_of", "parting_where_it_ended"]


class Door:
    """Lets peers in, knows who is inside, and sees them out."""

    def __init__(self, config: WebsocketConfig, meters: Meters, clock: Clock, logger: logging.Logger) -> None:
        self.access = Access(config)
        self._config = config
        self._meters = meters
        self._clock = clock
        self._logger = logger
        self._gate = Gate(config.max_connections, config.max_connections_per_address)
        self._inside: set[Peer] = set()
        self.closing = False
        """Whether nobody is let in any more."""
        self._empty = asyncio.Event()
        self._empty.set()

    async def visit(
        self,
        socket: WebSocket,
        endpoint: str,
        serve: Callable[[Peer], Awaitable[None]],
        farewell: Callable[[str], bytes | str] | None = None,
    ) -> None:
        """Have a peer served, not yet accepted, and end its connection in the way that the exception says.

        `farewell` makes a last message of the reason, where something went wrong.
        """
        peer = Peer(socket, endpoint, self._config, self._meters, self._clock)
        if not self._gate.enter(peer.address):
            await peer.refuse(_crowded())
            return
        self._inside.add(peer)
        self._empty.clear()
        try:
            self._look_at(peer)
            await serve(peer)
            await peer.close(CloseCode.ENDED, "")
        except Refusal as refusal:
            note(self._logger, "refused", peer=peer.address, endpoint=endpoint, reason=refusal.reason)
            await peer.refuse(refusal, farewell(refusal.reason) if farewell is not None else None)
        except Parting as parting:
            if farewell is not None and parting.code not in (CloseCode.ENDED, CloseCode.GOING_AWAY):
                await peer.say(farewell(parting.reason))
            await peer.close(parting.code, parting.reason)
        except Gone as gone:
            peer.closed(gone.code)
        except CodaError as error:
            failure = Refusal(status=500, code=CloseCode.FAILED, reason=str(error), label="error")
            await peer.refuse(failure, farewell(str(error)) if farewell is not None else None)
        except Exception:
            self._logger.exception("a connection to %s failed", endpoint)
            await peer.refuse(Refusal(status=500, code=CloseCode.FAILED, reason="internal error", label="error"))
        finally:
            peer.closed(1006)
            self._gate.leave(peer.address)
            self._inside.discard(peer)
            if not self._inside:
                self._empty.set()

    async def authenticate(self, peer: Peer, allowed: Callable[[Sequence[str]], bool], *, token_follows: bool) -> None:
        """Raise `Refusal` or `Parting` where a peer shows no token that is `allowed`, in its first message at last."""
        if allowed(peer.tokens):
            return
        if not token_follows:
            raise Refusal(
                status=401,
                code=CloseCode.POLICY,
                reason="a valid token is needed",
                label="token",
                headers={"WWW-Authenticate": CHALLENGE},
                challenge=True,
            )
        await peer.accept()
        message = await peer.receive(self._config.handshake_timeout_s)
        peer.tokens = (*peer.tokens, *_token_in(message))
        if not allowed(peer.tokens):
            self._meters.refused.labels("token").inc()
            raise Parting(CloseCode.POLICY, "a valid token is needed")

    async def close(self, timeout_s: float) -> None:
        """Let nobody in any more, and have everybody leave; returns when all are gone or the time is over."""
        self.closing = True
        for peer in self._inside:
            peer.dismiss(Parting(CloseCode.GOING_AWAY, "this server is shutting down", True))
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()

    def _look_at(self, peer: Peer) -> None:
        if self.closing:
            raise Refusal(
                status=503,
                code=CloseCode.GOING_AWAY,
                reason="this server is shutting down",
                label="closing",
                headers={"Retry-After": "10"},
            )
        refused = self.access.refused_origin(peer.socket)
        if refused is not None:
            raise Refusal(status=403, code=CloseCode.POLICY, reason=refused, label="origin", unopened=True)


async def first_of(*works: Coroutine[Any, Any, Any], leaving: asyncio.Future[Parting]) -> None:
    """Run `works` until the first one ends, then cancel the others; raise what it raised, or who is to leave."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait((*tasks, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()
    if leaving.done():
        raise leaving.result()


@contextmanager
def parting_where_it_ended() -> Iterator[None]:
    """Turn what a conversation raises that is over, or has no slot, into the close code that says so."""
    try:
        yield
    except ConversationBroken as broken:
        raise Parting(CloseCode.FAILED, str(broken)) from None
    except ConversationParked as parked:
        raise Parting(CloseCode.TRY_AGAIN, str(parked)) from None
    except ConversationClosed:
        raise Parting(CloseCode.ENDED, "the conversation has ended") from None


def _crowded() -> Refusal:
    return Refusal(
        status=503,
        code=CloseCode.TRY_AGAIN,
        reason="too many connections",
        label="connections",
        headers={"Retry-After": "10"},
    )


def _token_in(message: bytes | str) -> list[str]:
    """Return the token of a first message: JSON in a text frame, or in Kyutai's metadata."""
    if isinstance(message, bytes):
        if message[:1] != bytes((Kind.METADATA,)):
            return []
        message = message[1:].decode("utf-8", "replace")
    try:
        value = json.loads(message)
    except (ValueError, RecursionError):
        return []
    token = value.get("token") if isinstance(value, dict) else None
    return [token] if isinstance(token, str) else []
