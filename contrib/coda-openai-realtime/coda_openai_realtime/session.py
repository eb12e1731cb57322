"""One WebSocket: what comes in is read and done, what is to be told goes out, and both have their bounds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

import attrs
from coda_core import Context, Kernel
from coda_core.network import Allowance
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from coda_openai_realtime.access import Access, asked_model, dialect_of
from coda_openai_realtime.call import Call, opened
from coda_openai_realtime.client_events import fields_of, read_event
from coda_openai_realtime.config import OpenaiRealtimeConfig
from coda_openai_realtime.dialect import TODAY, Dialect
from coda_openai_realtime.naming import new_id
from coda_openai_realtime.outbox import Outbox, Stalled
from coda_openai_realtime.refusal import CloseCode, Parting, Refused, error_event

__all__ = ["Session"]

_BURST_S: Final = 5.0
_BURST_MESSAGES: Final = 4
"""So many of the largest messages may come at once."""
_FAREWELL_S: Final = 1.0
"""What a client gets to take the last words."""
_REASON_BYTES: Final = 123
"""What a close frame has room for."""


class Session:
    """Serves one client from the handshake to the end."""

    def __init__(
        self,
        kernel: Kernel,
        config: OpenaiRealtimeConfig,
        context: Context,
        access: Access,
        connection: ServerConnection,
    ) -> None:
        self._kernel = kernel
        self._config = config
        self._clock = context.clock
        self._logger = context.logger
        self._access = access
        self._connection = connection
        self._dialect: Dialect = TODAY
        self._outbox = Outbox(config.send_buffer_frames)

    async def run(self) -> None:
        """Serve until one side has had enough. Never raises but for being cancelled."""
        sending = asyncio.create_task(self._outbox.run(self._send))
        try:
            try:
                await self._serve(sending)
            except Parting as parting:
                await self._part(parting)
            except ConnectionClosed:
                pass
            except Exception:
                self._logger.exception("a session failed")
                error = Refused(type="server_error", code="internal_error", message="The server had an error.")
                await self._part(Parting(CloseCode.FAILED, "internal error", error))
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _serve(self, sending: asyncio.Task[None]) -> None:
        request = self._connection.request
        assert request is not None
        self._dialect = dialect_of(request)
        refused = self._access.refused(request)
        if refused is not None:
            raise Parting(CloseCode.POLICY, "a valid API key is needed", refused)
        model = asked_model(request)
        if self._config.models and model not in self._config.models:
            message = f"The model '{(model or '')[:80]}' does not exist here: this server has "
            message += ", ".join(self._config.models) + "."
            unknown = Refused(code="model_not_found", message=message, param="model")
            raise Parting(CloseCode.POLICY, "model not found", unknown)
        async with opened(self._kernel, self._config, self._clock, self._outbox, model) as call:
            id = call.conversation_id
            self._logger.info("conversation %s began", id)
            works = [self._listen(call), call.follow(), call.carry()]
            if self._config.max_session_s:
                works.append(self._watch_the_clock())
            try:
                await _first_of(sending, *works)
            finally:
                lost = self._outbox.dropped
                self._logger.info("conversation %s is left%s", id, f"; {lost} frames were dropped" if lost else "")

    async def _listen(self, call: Call) -> None:
        config = self._config
        now = self._clock.now
        messages = Allowance(config.max_messages_per_s, _BURST_S * config.max_messages_per_s, now)
        size = Allowance(config.max_bytes_per_s, _BURST_MESSAGES * config.max_message_bytes, now)
        while True:
            # Who asks and does not read the answers is not listened to.
            await self._outbox.room()
            try:
                async with asyncio.timeout(config.idle_timeout_s):
                    message = await self._connection.recv()
            except TimeoutError:
                reason = f"nothing was heard from you for {config.idle_timeout_s:g} s"
                raise Parting(CloseCode.POLICY, reason, Refused(code="session_idle", message=reason)) from None
            if not messages.take(1):
                reason = f"more than {config.max_messages_per_s:g} messages a second"
                raise Parting(CloseCode.POLICY, reason, Refused(code="rate_limit_exceeded", message=reason))
            if not size.take(len(message)):
                reason = f"more than {config.max_bytes_per_s:g} bytes a second"
                raise Parting(CloseCode.POLICY, reason, Refused(code="rate_limit_exceeded", message=reason))
            try:
                await self._obey(call, message)
            except Refused as refused:
                self._outbox.put([error_event(refused)])

    async def _obey(self, call: Call, message: str | bytes) -> None:
        fields = fields_of(message)
        event_id = fields.get("event_id")
        try:
            await call.obey(read_event(self._dialect.understood(fields)))
        except Refused as refused:
            if isinstance(event_id, str) and refused.param != "event_id":
                raise attrs.evolve(refused, event_id=event_id) from None
            raise

    async def _send(self, event: dict[str, Any]) -> None:
        said = self._dialect.spoken(event)
        if said is None:
            return
        try:
            async with asyncio.timeout(self._config.send_timeout_s):
                await self._connection.send(json.dumps({"event_id": new_id("event"), **said}))
        except TimeoutError:
            raise Stalled from None

    async def _watch_the_clock(self) -> None:
        most_s = self._config.max_session_s
        await self._clock.sleep_until(self._clock.now() + most_s)
        reason = f"Your session hit the maximum duration of {most_s:g} s."
        raise Parting(CloseCode.POLICY, "session expired", Refused(code="session_expired", message=reason))

    async def _part(self, parting: Parting) -> None:
        """Say the last words and close."""
        reason = parting.reason.encode()[:_REASON_BYTES].decode("utf-8", "ignore")
        with suppress(TimeoutError, ConnectionClosed, Stalled):
            async with asyncio.timeout(_FAREWELL_S):
                if parting.error is not None:
                    self._outbox.put([error_event(parting.error)])
                await self._outbox.drained()
        await self._connection.close(parting.code, reason)


async def _first_of(sending: asyncio.Task[None], *works: Coroutine[Any, Any, None]) -> None:
    """Run `works` until the first one ends, or the `sending` does; raise what it raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait((sending, *tasks), return_when=asyncio.FIRST_COMPLETED)
        ended = [task for task in (*tasks, sending) if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        try:
            task.result()
        except Stalled:
            raise Parting(CloseCode.POLICY, "you do not take what is sent") from None
