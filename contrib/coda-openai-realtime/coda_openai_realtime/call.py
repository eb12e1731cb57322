"""One conversation with Moshi, as its client sees it: what it asks for is done, what comes of it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any, Final

import attrs
from coda_core import (
    AudioFrame,
    Block,
    Clock,
    CodaError,
    Conversation,
    ConversationClosed,
    ConversationError,
    ConversationParked,
    Event,
    ExtractedText,
    Failed,
    Fault,
    Full,
    Gap,
    Incapable,
    Injection,
    Interrupted,
    Kernel,
    Receipt,
    SlotOptions,
    Subscription,
    SubscriptionOverflow,
)

from coda_openai_realtime import client_events
from coda_openai_realtime.config import OpenaiRealtimeConfig
from coda_openai_realtime.items import Item, Items, added, done
from coda_openai_realtime.line import Line, Overrun
from coda_openai_realtime.naming import new_id
from coda_openai_realtime.outbox import Outbox
from coda_openai_realtime.refusal import CloseCode, Parting, Refused, error_event
from coda_openai_realtime.responses import Asked, Pace, Responses
from coda_openai_realtime.session_settings import Abilities, SessionSettings, updated
from coda_openai_realtime.sound import decoded
from coda_openai_realtime.turns import Turns

__all__ = ["Call", "opened"]

_LONGEST_TEXT: Final = 20_000
"""Characters of an item."""
_LONGEST_SAID: Final = 2000
"""Characters of one that Moshi speaks."""


@asynccontextmanager
async def opened(
    kernel: Kernel, config: OpenaiRealtimeConfig, clock: Clock, outbox: Outbox, model: str | None
) -> AsyncIterator[Call]:
    """Open a conversation for a client that asks for `model`; it is closed on leaving. Raises `Parting`."""
    async with AsyncExitStack() as exits:
        call = Call(kernel, config, clock, outbox, model, exits)
        await call.begin()
        yield call


class Call:
    """Made by `opened`. What is to be told goes into the outbox."""

    def __init__(
        self,
        kernel: Kernel,
        config: OpenaiRealtimeConfig,
        clock: Clock,
        outbox: Outbox,
        model: str | None,
        exits: AsyncExitStack,
    ) -> None:
        can = kernel.info.capabilities
        name = model if model is not None and model in config.models else kernel.processor.label
        self._kernel = kernel
        self._config = config
        self._outbox = outbox
        self._clock = clock
        self._exits = exits
        self._abilities = Abilities(config, name, prompt="prompt" in can, interrupt="interrupt" in can)
        self._extractor = next((one.label for one in kernel.stack.monologue_extractors), "")
        self._settings = SessionSettings(model=name)
        self._session_id, self._conversation_id = new_id("sess"), new_id("conv")
        self._items = Items()
        self._texts: dict[str, Receipt] = {}
        """What Moshi is still to say, by the item that asked for it."""
        self._silenced = False
        """Whether Moshi was told to be silent until it hears somebody."""
        self._changing = asyncio.Lock()
        self._line: Line
        self._turns: Turns
        self._responses: Responses
        self._conversation: Conversation
        self._output: Subscription[Any]

    @property
    def conversation_id(self) -> str:
        """What the conversation is called in Coda."""
        return self._conversation.id

    async def begin(self) -> None:
        """Open the conversation and tell the client. Raises `Parting`."""
        await self._open()
        expires_at = self._clock.wall() + self._config.max_session_s if self._config.max_session_s else 0
        self._expires_at = round(expires_at)
        created = {"id": self._conversation_id, "object": "realtime.conversation"}
        self._outbox.put(
            [
                {"type": "session.created", "session": self._session()},
                {"type": "conversation.created", "conversation": created},
            ]
        )

    async def obey(self, event: client_events.ClientEvent) -> None:
        """Do what a client asks for. Raises `Refused` where it cannot be done, `Parting` where all is over."""
        with _parting_where_it_ended():
            match event:
                case client_events.Append(audio=audio):
                    await self._hear(self._decoded(audio, "audio"))
                    self._turns.heard()
                case client_events.Commit():
                    self._outbox.put(self._turns.commit())
                    if not self._settings.detects_turns:
                        self._line.turn_over()
                case client_events.Clear():
                    self._line.clear()
                    self._turns.cleared()
                    self._outbox.put([{"type": "input_audio_buffer.cleared"}])
                case client_events.Update(session=session):
                    await self._update(session)
                case client_events.CreateItem():
                    await self._create_item(event)
                case client_events.RetrieveItem(item_id=id):
                    item = self._items.get(id).to_json()
                    self._outbox.put([{"type": "conversation.item.retrieved", "item": item}])
                case client_events.DeleteItem(item_id=id):
                    self._items.remove(id)
                    self._take_back(id)
                    self._outbox.put([{"type": "conversation.item.deleted", "item_id": id}])
                case client_events.TruncateItem(item_id=id, audio_s=audio_s):
                    self._truncate(id, audio_s)
                case client_events.Create():
                    await self._ask(event)
                case client_events.Cancel(response_id=response_id):
                    await self._cancel(response_id)

    async def follow(self) -> None:
        """Tell the client what comes of the conversation. Raises `Parting` when that is over."""
        with _parting_where_it_ended():
            while True:
                output = self._output
                async for each in output:
                    await self._tell(each)
                async with self._changing:
                    if self._output is output:
                        raise Parting(CloseCode.ENDED, "the conversation has ended")

    async def carry(self) -> None:
        """Pass on what the client sent. Raises `Parting`."""
        with _parting_where_it_ended():
            await self._line.run()

    def _session(self) -> dict[str, Any]:
        return {"id": self._session_id, **self._settings.to_json(), "expires_at": self._expires_at}

    # The conversation

    async def _open(self) -> None:
        settings, config = self._settings, self._config
        options = SlotOptions()
        if settings.instructions.strip():
            prompt = config.prompt_template.replace("{instructions}", settings.instructions)
            options = attrs.evolve(options, prompt=prompt)
        path = next((str(voice.path) for voice in config.voices if voice.name == settings.voice), None)
        options = attrs.evolve(options, voice=path)
        opening = self._kernel.open_conversation(options=options, metadata={"transport": "openai-realtime"})
        try:
            self._conversation = await self._exits.enter_async_context(opening)
        except Full as full:
            raise _no_room(full) from None
        except CodaError as error:
            raise Parting(CloseCode.FAILED, str(error), _defect("session_not_opened", str(error))) from None
        self._output = self._conversation.subscribe(
            AudioFrame, ExtractedText, Event, size=config.send_buffer_frames, overflow="drop-oldest"
        )
        frame_s = self._conversation.frame_s
        self._line = Line(
            self._conversation,
            self._clock,
            lambda: bool(self._texts) or self._responses.active,
            hold_s=config.hold_line_s,
            most_s=config.max_audio_ahead_s,
        )
        self._turns = Turns(self._items, lambda at_s: self._line.client_s(at_s))
        pace = Pace(
            frame_s=frame_s,
            end=max(1, round(config.response_end_s / frame_s)),
            wait=max(1, round(config.response_wait_s / frame_s)),
            most=max(1, round(config.max_response_s / frame_s)),
        )
        vocabulary = self._kernel.info.vocabulary
        self._responses = Responses(pace, self._items, vocabulary, lambda: self._settings, self._conversation_id)

    async def _update(self, session: Any) -> None:
        begun = self._line.begun or bool(self._texts) or self._responses.active
        before, self._settings = self._settings, updated(self._settings, session, self._abilities, begun=begun)
        asked = (self._settings.instructions, self._settings.voice)
        if asked != (before.instructions, before.voice):
            # A model takes in its prompt before it hears anybody: nobody was heard yet, so it begins anew.
            async with self._changing:
                await self._exits.aclose()
                line = self._line
                await self._open()
                line.conversation, self._line = self._conversation, line
        self._outbox.put([{"type": "session.updated", "session": self._session()}])

    # What the client asks for

    def _decoded(self, audio: bytes, param: str) -> Block:
        try:
            return decoded(audio, self._settings.input_format)
        except ValueError as error:
            raise Refused(code="invalid_value", message=f"Invalid '{param}': {error}.", param=param) from None

    async def _hear(self, block: Block) -> None:
        if not len(block.pcm):
            return
        try:
            await self._line.take(block)
        except Overrun:
            raise Refused(
                code="input_audio_buffer_full",
                message=f"More than {self._config.max_audio_ahead_s:g} s of audio wait already; send it as it plays.",
                param="audio",
            ) from None

    async def _create_item(self, asked: client_events.CreateItem) -> None:
        audio = self._decoded(asked.audio, "item.content") if asked.audio else None
        text = " ".join(asked.texts)
        # What is put among things that were said before is history, not something to say now.
        at_end = asked.after in (None, self._items.last)
        spoken = bool(text) and at_end and asked.role in self._config.spoken_roles
        most = _LONGEST_SAID if spoken else _LONGEST_TEXT
        if len(text) > most:
            message = f"Invalid 'item.content': a text of {len(text)} characters; at most {most} are taken."
            raise Refused(code="string_above_max_length", message=message, param="item.content")
        kind = "input_audio" if audio is not None and not text else "input_text"
        item = Item(role=asked.role, content_type="output_text" if asked.role == "assistant" else kind)
        if asked.id is not None:
            item.id = asked.id
        if text:
            item.words = [(0.0, text)]
        previous = self._items.add(item, asked.after)
        if spoken:
            try:
                await self._say(item.id, text)
            except Refused:
                self._items.remove(item.id)
                raise
        self._outbox.put([added(item, previous), done(item, previous)])
        if audio is not None:
            await self._hear(audio)

    async def _say(self, item_id: str, text: str) -> None:
        param = "item.content"
        await self._line.resume()
        try:
            receipt = await self._conversation.say(text, deadline_s=self._config.say_deadline_s)
        except Incapable as error:
            raise Refused(code="unsupported_item", message=str(error), param=param) from None
        except ValueError as error:
            raise Refused(code="invalid_value", message=f"Invalid '{param}': {error}.", param=param) from None
        except (ConversationParked, ConversationClosed):
            raise
        except ConversationError as error:
            raise Refused(code="too_many_texts", message=str(error), param=param) from None
        self._texts[item_id] = receipt
        self._silenced = False
        self._line.hold()

    def _take_back(self, item_id: str) -> None:
        receipt = self._texts.get(item_id)
        if receipt is not None:
            with suppress(ConversationParked):
                receipt.cancel()

    def _truncate(self, id: str, audio_s: float) -> None:
        active = self._responses.active
        events = self._responses.truncate(self._items.get(id), audio_s)
        if active and not self._responses.active:
            self._outbox.drop_audio()
        self._outbox.put(events)

    async def _ask(self, event: client_events.Create) -> None:
        asked = Asked(
            modality=event.modality or self._settings.modality,
            format=event.format or self._settings.output_format,
            metadata=event.metadata,
        )
        self._outbox.put(self._responses.ask(asked))
        if self._silenced:
            # It would wait for somebody to speak: a silence of one frame takes the place of that.
            await self._line.resume()
            await self._conversation.interrupt(self._conversation.frame_s)
            self._silenced = False
        self._line.hold()

    async def _cancel(self, response_id: str | None) -> None:
        if not self._responses.active and response_id is None and self._texts:
            for item_id in tuple(self._texts):
                self._take_back(item_id)
            return
        await self._interrupt("client_cancelled", response_id)

    async def _interrupt(self, reason: str, response_id: str | None = None) -> None:
        """End the response, and have Moshi be silent where it can be told so."""
        events = self._responses.cancel(reason, response_id)
        self._outbox.drop_audio()
        self._outbox.put(events)
        if self._abilities.interrupt:
            self._silenced = True
            with suppress(ConversationParked):
                await self._conversation.interrupt()

    # What comes of it

    async def _tell(self, output: Any) -> None:
        match output:
            case AudioFrame():
                await self._tell_frame(output)
            case ExtractedText(speaker="moshi", extractor=self._extractor):
                self._pass_on(lambda: self._responses.word(output))
            case Injection(status="finished" | "cancelled" | "expired", command=number):
                self._texts = {id: each for id, each in self._texts.items() if each.id != number}
                self._line.hold()  # the last word's sound is still to come
            case Interrupted():
                self._outbox.drop_audio()
            case Gap(frames=frames):
                self._line.lost(frames * self._conversation.frame_s)
            case Fault(message=message):
                self._outbox.put([error_event(_defect("fault", message))])
            case Failed(message=message):
                self._outbox.put(self._responses.fail("conversation_failed", message))
                raise Parting(CloseCode.FAILED, message, _defect("conversation_failed", message))

    async def _tell_frame(self, frame: AudioFrame) -> None:
        began, events = self._turns.frame(frame, detect=self._settings.detects_turns)
        self._outbox.put(events)
        if began:
            self._silenced = False
            if self._settings.interrupts and self._responses.speaking:
                await self._interrupt("turn_detected")
        self._pass_on(lambda: self._responses.frame(frame))

    def _pass_on(self, happens: Callable[[], list[dict[str, Any]]]) -> None:
        """Tell what comes of Moshi; where a response begins or ends by it, the line goes on."""
        active = self._responses.active
        self._outbox.put(happens())
        if active != self._responses.active:
            self._line.hold()


@contextmanager
def _parting_where_it_ended() -> Iterator[None]:
    try:
        yield
    except Full as full:
        raise _no_room(full) from None
    except SubscriptionOverflow as overflow:
        raise Parting(CloseCode.POLICY, str(overflow)) from None
    except ConversationClosed:
        raise Parting(CloseCode.ENDED, "the conversation has ended") from None
    except CodaError as error:
        raise Parting(CloseCode.FAILED, str(error), _defect("conversation_failed", str(error))) from None


def _no_room(full: Full) -> Parting:
    return Parting(CloseCode.TRY_AGAIN, str(full), _defect("server_full", str(full)))


def _defect(code: str, message: str) -> Refused:
    return Refused(type="server_error", code=code, message=message)
