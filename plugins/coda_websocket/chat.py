"""``/api/chat``: one conversation over Kyutai's binary protocol."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from starlette.websockets import WebSocket

from coda_core.audio import SAMPLE_RATE_HZ
from coda_core.events import Attached, Event, Interrupted, Parked
from coda_core.network import Allowance
from coda_core.text import ExtractedText
from coda_websocket.asked import Asked, BadQuery, read_query
from coda_websocket.door import first_of, parting_where_it_ended
from coda_websocket.notes import note
from coda_websocket.opus import BadOpus
from coda_websocket.peer import CloseCode, Gone, Parting, Peer, Refusal
from coda_websocket.protocol import (
    Control,
    Kind,
    Malformed,
    audio_message,
    error_message,
    handshake_message,
    metadata_message,
    parse_message,
    text_message,
)
from coda_websocket.seats import Seat
from coda_websocket.services import Services
from coda_websocket.spelling import Spelling
from coda_websocket.voice import Voice, open_voice

__all__ = ["Chat"]

_MOST_OPUS_LOAD: Final = 0.9
_RETRY_AFTER_S: Final = 10


class Chat:
    """Serves every caller."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def serve(self, socket: WebSocket) -> None:
        """Serve one caller until the conversation or the connection ends."""
        await self._services.door.visit(socket, "chat", self._ask, error_message)

    async def _ask(self, peer: Peer) -> None:
        services = self._services
        try:
            asked = read_query(peer.socket.query_params, services.config, services.kernel.info)
        except BadQuery as error:
            raise Refusal(status=400, code=CloseCode.POLICY, reason=str(error), label="query") from None
        await self._talk(peer, asked)

    async def _talk(self, peer: Peer, asked: Asked) -> None:
        services = self._services
        # Whether one of the tokens is that of the conversation to go on with is for the kernel to say.
        allowed = services.door.access.is_caller if asked.conversation is None else bool
        await services.door.authenticate(peer, allowed, token_follows=asked.token_follows)
        if asked.codec == "opus" and asked.conversation is None and services.opus.load > _MOST_OPUS_LOAD:
            raise _no_voice_left()
        voice = await open_voice(asked.codec, services.opus)
        try:
            if asked.conversation is not None:
                sitting = services.seats.resumed(peer, asked.conversation, services.clock.now())
                again = await self._call(peer, asked, voice, "resumed", sitting)
            else:
                again = await self._call(peer, asked, voice, "opened", self._new(peer, asked))
            while again:
                again = await self._call(peer, asked, voice, "restarted", self._new(peer, asked))
        finally:
            voice.close()

    def _new(self, peer: Peer, asked: Asked) -> AbstractAsyncContextManager[Seat]:
        metadata = {"peer": peer.address, "codec": asked.codec}
        return self._services.seats.new(peer, asked.options, metadata, self._services.clock.now())

    async def _call(
        self, peer: Peer, asked: Asked, voice: Voice, how: str, sitting: AbstractAsyncContextManager[Seat]
    ) -> bool:
        async with sitting as seat:
            self._services.meters.conversations.labels(how).inc()
            return await _Call(self._services, peer, asked, voice, seat).run()


class _Call:
    """One peer and one conversation."""

    def __init__(self, services: Services, peer: Peer, asked: Asked, voice: Voice, seat: Seat) -> None:
        self._services = services
        self._config = services.config
        self._peer = peer
        self._asked = asked
        self._voice = voice
        self._seat = seat
        self._conversation = seat.conversation
        self._told = asyncio.Event()
        self._paused = False
        self._restart = False
        self._audio = seat.audio
        self._events = seat.events
        self._ahead = Allowance(1.0, self._config.max_audio_ahead_s, services.clock.now)
        self._spelling = Spelling(services.kernel.info.vocabulary)
        self._extractor = next((one.label for one in services.kernel.stack.monologue_extractors), "")

    async def run(self) -> bool:
        """Talk until one side has had enough; True where the caller wants a new conversation."""
        conversation, peer = self._conversation, self._peer
        log = self._services.logger
        try:
            headers = {"Coda-Conversation": conversation.id, "Coda-Resume-Token": conversation.resume_token}
            await peer.accept({**headers, "Coda-Recorded": "yes" if conversation.recorded else "no"})
            await peer.send(handshake_message())
            if self._asked.metadata:
                with parting_where_it_ended():
                    facts = self._facts()
                await peer.send(metadata_message(facts))
            note(
                log,
                "resumed" if self._seat.resumed else "opened",
                conversation=conversation.id,
                peer=peer.address,
                codec=self._asked.codec,
                frame=conversation.frames,
            )
            works = [self._hear(), self._speak(), self._tell()]
            if self._config.max_conversation_s:
                works.append(self._watch_the_clock())
            with parting_where_it_ended():
                await first_of(*works, leaving=peer.leaving)
        except Gone as gone:
            note(log, "disconnected", conversation=conversation.id, code=gone.code, frame=conversation.frames)
            raise
        except Parting as parting:
            note(
                log,
                "parted",
                conversation=conversation.id,
                code=parting.code,
                reason=parting.reason,
                frame=conversation.frames,
            )
            if parting.may_return:
                await peer.close(parting.code, parting.reason)
                raise Gone(parting.code) from None
            raise
        finally:
            if self._audio.dropped:
                self._services.meters.dropped_frames.inc(self._audio.dropped)
        return self._restart

    def _facts(self) -> dict[str, Any]:
        conversation = self._conversation
        options = conversation.options
        return {
            "conversation": conversation.id,
            "resume_token": conversation.resume_token,
            "resumed": self._seat.resumed,
            "recorded": conversation.recorded,
            "frame": self._seat.first_frame,
            "next_frame": conversation.measures().next_frame,
            "grace_s": self._config.grace_s,
            "codec": self._asked.codec,
            "sample_rate_hz": SAMPLE_RATE_HZ,
            "delay_frames": self._services.kernel.info.delay_frames,
            "seed": options.seed,
            "text_temperature": options.text_temperature,
            "text_topk": options.text_top_k,
            "audio_temperature": options.audio_temperature,
            "audio_topk": options.audio_top_k,
        }

    async def _hear(self) -> None:
        while not self._restart:
            data = await self._peer.receive(self._config.idle_timeout_s)
            if isinstance(data, str):
                raise Parting(CloseCode.UNSUPPORTED, "a text message; this protocol has binary ones")
            try:
                message = parse_message(data)
                if message is None:
                    continue
                if message.kind is Kind.AUDIO:
                    await self._take(message.payload)
                elif message.kind is Kind.CONTROL:
                    await self._control(Control(message.payload[0]))
            except (Malformed, BadOpus) as error:
                raise Parting(CloseCode.MALFORMED, f"malformed: {error}") from None

    async def _take(self, payload: bytes) -> None:
        pcm = await self._voice.decode(payload)
        if not self._ahead.take(len(pcm) / SAMPLE_RATE_HZ):
            raise Parting(CloseCode.POLICY, f"audio more than {self._config.max_audio_ahead_s:g} s ahead of real time")
        if len(pcm) and not self._paused and not self._seat.taken_over:
            await self._conversation.send(pcm)

    async def _control(self, control: Control) -> None:
        if control is Control.PAUSE:
            self._paused = True
            await self._conversation.pause()
        elif control is Control.START:
            self._paused = False
            await self._conversation.resume()
        elif control is Control.RESTART:
            self._restart = True

    async def _speak(self) -> None:
        framing = self._services.meters.framing
        async for frame in self._audio:
            if frame.valid:
                began_s = self._services.clock.now()
                await self._peer.send(audio_message(await self._voice.encode(frame.pcm)))
                framing.observe(self._services.clock.now() - began_s)
        # What was said last is still to be told.
        await self._told.wait()

    async def _tell(self) -> None:
        try:
            async for event in self._events:
                await self._pass_on(event)
        finally:
            self._told.set()
        raise Parting(CloseCode.ENDED, "the conversation has ended")

    async def _pass_on(self, event: Event) -> None:
        match event:
            case ExtractedText(speaker="moshi") if event.extractor == self._extractor:
                await self._peer.send(text_message(self._spelling.spell(event)))
            case Interrupted():
                self._audio.drop_audio()
            case Attached() if self._seat.taken_over:
                raise Parting(CloseCode.POLICY, "another connection has taken this conversation over")
            case Parked():
                raise Parting(CloseCode.TRY_AGAIN, f"this conversation was parked ({event.reason}); resume it later")

    async def _watch_the_clock(self) -> None:
        clock, most_s = self._services.clock, self._config.max_conversation_s
        await clock.sleep_until(self._seat.since_s + most_s)
        raise Parting(CloseCode.POLICY, f"the conversation has lasted {most_s:g} s, which is all it may")


def _no_voice_left() -> Refusal:
    """Newcomers wait, so that who is talking is not late: no process that codes Opus has time for another voice."""
    return Refusal(
        status=503,
        code=CloseCode.TRY_AGAIN,
        reason="this server has no time to code another voice in Opus; try again later, or ask for codec=pcm",
        label="opus",
        headers={"Retry-After": str(_RETRY_AFTER_S)},
    )
