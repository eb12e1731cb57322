"""``/api/events``: what happens in one conversation, as JSON, and commands to it."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from starlette.websockets import WebSocket

from coda_core.conversation import Conversation
from coda_core.errors import CodaError
from coda_core.events import Event, event_to_json
from coda_core.interfaces import LaneMeasures, Measured
from coda_core.network import token_matches
from coda_core.subscription import Subscription, SubscriptionOverflow
from coda_websocket.access import CHALLENGE
from coda_websocket.door import first_of, parting_where_it_ended
from coda_websocket.orders import BadOrder, Order, read_order
from coda_websocket.peer import CloseCode, Parting, Peer, Refusal
from coda_websocket.services import Services

__all__ = ["Events"]

PROTOCOL_VERSION: Final = 1


class Events:
    """Serves every reader."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def serve(self, socket: WebSocket) -> None:
        """Serve one reader until the conversation or the connection ends."""
        await self._services.door.visit(socket, "events", self._follow)

    async def _follow(self, peer: Peer) -> None:
        query = peer.socket.query_params
        follows = query.get("auth") == "message"
        await self._services.door.authenticate(peer, lambda shown: bool(shown), token_follows=follows)
        conversation = self._find(query.get("conversation", ""), peer)
        await peer.accept()
        async with conversation.subscribe(Event) as events, self._services.kernel.subscribe(Measured) as measured:
            await peer.send(json.dumps(_hello(conversation)))
            works = (
                self._tell(peer, events),
                self._tell_losses(peer, measured, conversation.id),
                self._obey(peer, conversation),
            )
            with parting_where_it_ended():
                await first_of(*works, leaving=peer.leaving)

    def _find(self, id: str, peer: Peer) -> Conversation:
        """Return the conversation, if the peer has shown its token; does not tell whether there is one otherwise."""
        conversation = self._services.kernel.conversations.get(id)
        expected = conversation.resume_token if conversation is not None else "\N{NULL}"
        if not token_matches(expected, peer.tokens) or conversation is None:
            raise Refusal(
                status=401,
                code=CloseCode.POLICY,
                reason="there is no conversation with this id and token",
                label="token",
                headers={"WWW-Authenticate": CHALLENGE},
            )
        return conversation

    async def _tell(self, peer: Peer, events: Subscription[Event]) -> None:
        try:
            async for event in events:
                await peer.send(event_to_json(event))
        except SubscriptionOverflow as overflow:
            raise Parting(CloseCode.POLICY, str(overflow)) from None
        raise Parting(CloseCode.ENDED, "the conversation has ended")

    async def _tell_losses(self, peer: Peer, measured: Subscription[Measured], id: str) -> None:
        """Say how many frames were dropped and late so far, whenever that has changed between two reports."""
        told = (0, 0)
        async for event in measured:
            lane = event.measures.conversations.get(id)
            if lane is not None and (lane.dropped_frames, lane.late_frames) != told:
                told = (lane.dropped_frames, lane.late_frames)
                await peer.send(json.dumps(_losses(event, id, lane)))
        await asyncio.Event().wait()  # the kernel closes; the conversation says how it ended

    async def _obey(self, peer: Peer, conversation: Conversation) -> None:
        while True:
            message = await peer.receive(None)
            if isinstance(message, bytes):
                raise Parting(CloseCode.UNSUPPORTED, "a binary message; this protocol has text ones")
            try:
                order = read_order(message)
                reply = {"ok": True, "id": order.id, **await _do(order, conversation)}
            except BadOrder as error:
                reply = {"ok": False, "id": error.id, "error": str(error)}
            except (ValueError, RecursionError) as error:
                raise Parting(CloseCode.MALFORMED, f"malformed: {' '.join(str(error).split())}") from None
            await peer.send(json.dumps({"type": "reply", **reply}))


def _hello(conversation: Conversation) -> dict[str, Any]:
    return {
        "type": "hello",
        "version": PROTOCOL_VERSION,
        "conversation": conversation.id,
        "status": conversation.status,
        "recorded": conversation.recorded,
        "frame": conversation.frames,
        "durable_sequence": conversation.durable_sequence,
    }


def _losses(event: Measured, id: str, lane: LaneMeasures) -> dict[str, Any]:
    return {
        "type": event.type,
        "version": event.version,
        "conversation": id,
        "frame": lane.frames,
        "time_s": event.time_s,
        "queued_frames": lane.queued_frames,
        "dropped_frames": lane.dropped_frames,
        "late_frames": lane.late_frames,
        "filled_frames": lane.filled_frames,
        "drop_rate": lane.drop_rate,
        "lateness_p95_s": lane.lateness_s.p95,
        "queue_p95_s": lane.queue_s.p95,
    }


async def _do(order: Order, conversation: Conversation) -> dict[str, Any]:
    """Do what was asked; return what the reply says beside that it is done. Raises `BadOrder` where it cannot be."""
    try:
        match order.command:
            case "say":
                fields = dict(order.fields)
                receipt = await conversation.say(fields.pop("text"), **fields)
                return {"command": receipt.id}
            case "interrupt":
                await conversation.interrupt(order.fields.get("for_s"))
            case "pause":
                await conversation.pause()
            case "resume":
                await conversation.resume()
            case "close":
                await conversation.close()
    except (CodaError, ValueError) as error:
        raise BadOrder(str(error), order.id) from None
    return {}
