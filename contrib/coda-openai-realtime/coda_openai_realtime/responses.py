"""Moshi's voice, which comes when it likes, as responses that begin and end. Pure: frames and words in, events out.

A response begins with Moshi's voice or a word of its text after silence, or where a client asks for one. It ends when
both have been silent for a while, when it is cancelled or cut, or when it has become too long.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
import numpy as np
from coda_core import AudioFrame, ExtractedText, Vocabulary

from coda_openai_realtime.items import Item, Items, added, done
from coda_openai_realtime.naming import new_id
from coda_openai_realtime.refusal import Refused
from coda_openai_realtime.session_settings import Modality, SessionSettings, format_to_json
from coda_openai_realtime.sound import Encoder, SoundFormat

__all__ = ["Asked", "Pace", "Responses"]

Events = list[dict[str, Any]]

_NEVER: Final = -(10**9)
_SOUND_RMS: Final = 10 ** (-51 / 20)
"""Level from which a frame of speech is more than what the speech detection holds on to at its end."""


@attrs.frozen
class Pace:
    """When a response begins and ends, in frames."""

    frame_s: float
    end: int
    """Frames of silence that end it; those come on top for which the speech detection holds on to speech."""
    wait: int
    """Frames in which one that was asked for must begin."""
    most: int
    """Frames after which one ends, and the next begins."""


@attrs.frozen(kw_only=True)
class Asked:
    """What a client wants of one response."""

    modality: Modality
    format: SoundFormat
    metadata: Mapping[str, str] | None = None


@attrs.define(eq=False)
class _Response:
    asked: Asked
    item: Item
    encoder: Encoder
    id: str = attrs.field(factory=lambda: new_id("resp"))
    since: int | None = None
    """First frame that it went through."""
    first: int | None = None
    """First frame of its audio, None until Moshi is heard or has written something."""
    last_sound: int = 0
    """Latest frame with voice or text."""
    previous: str | None = None
    """Id of the item before its own."""

    def place(self) -> dict[str, Any]:
        return {"response_id": self.id, "item_id": self.item.id, "output_index": 0, "content_index": 0}


class Responses:
    """Those of one session, one at a time."""

    def __init__(
        self,
        pace: Pace,
        items: Items,
        vocabulary: Vocabulary,
        settings: Callable[[], SessionSettings],
        conversation_id: str,
    ) -> None:
        self._pace = pace
        self._items = items
        self._vocabulary = vocabulary
        self._settings = settings
        self._conversation_id = conversation_id
        self._active: _Response | None = None
        self._before: AudioFrame | None = None
        """The latest silent frame: a voice often begins in it."""
        self._hushed = False
        """Whether Moshi is not listened to until it has been silent."""
        self._frame = -1
        """The latest frame."""
        self._words_from = _NEVER
        """Words that began before this frame belong to a response that is over."""

    @property
    def active(self) -> bool:
        """Whether there is a response that is not over, be it that it has yet to begin."""
        return self._active is not None

    @property
    def speaking(self) -> bool:
        """Whether there is one in which Moshi was heard."""
        return self._active is not None and self._active.first is not None

    def ask(self, asked: Asked) -> Events:
        """A client wants a response. Raises `Refused` where there is one."""
        if self._active is not None:
            raise Refused(
                code="conversation_already_has_active_response",
                message=f"Conversation already has an active response in progress: {self._active.id}. "
                "Moshi begins to answer by itself; wait until this response is done, or cancel it.",
            )
        return self._create(asked)

    def frame(self, frame: AudioFrame) -> Events:
        """Take the next frame."""
        self._frame = frame.frame
        speaking = frame.moshi_speaking and frame.valid
        if self._hushed:
            self._hushed = speaking
            return []
        events: Events = []
        if self._active is None:
            if not (speaking and _is_sound(frame)):
                self._before = frame if frame.valid and not speaking else None
                return events
            events += self._create(self._unasked())
        events += self._heard(frame, speaking)
        return events

    def word(self, text: ExtractedText) -> Events:
        """Take a word of Moshi's; it comes somewhat behind its sound."""
        at = text.frame if text.frame is not None else self._frame
        if self._hushed or at < self._words_from:
            return []
        events: Events = []
        if self._active is None:
            events += self._create(self._unasked())
        response = self._active
        assert response is not None
        if response.first is None:
            events += self._open(response, self._frame + 1)
        assert response.first is not None
        response.last_sound = max(response.last_sound, round(text.end_s / self._pace.frame_s) - 1)
        piece = self._spelt(text, first=not response.item.words)
        response.item.words.append((max(0.0, text.start_s - response.first * self._pace.frame_s), piece))
        kind = "output_text" if response.asked.modality == "text" else "output_audio_transcript"
        events.append({"type": f"response.{kind}.delta", **response.place(), "delta": piece})
        return events

    def cancel(self, reason: str, response_id: str | None = None) -> Events:
        """End the response because of a client; what Moshi still says until its next silence is not passed on.

        `reason` is ``client_cancelled`` or ``turn_detected``. Raises `Refused` where there is no such response.
        """
        response = self._active
        if response is None or response_id not in (None, response.id):
            raise Refused(
                code="response_cancel_not_active",
                message="Cancellation failed: no active response found.",
                param=None if response is None else "response_id",
            )
        self._hushed = True
        return self._end(response, "cancelled", {"type": "cancelled", "reason": reason})

    def truncate(self, item: Item, audio_s: float) -> Events:
        """Cut an item to what was heard of it. If it is still being spoken, its response ends, and Moshi goes on."""
        if item.content_type != "output_audio":
            raise Refused(
                code="invalid_value",
                message="Only audio messages of the assistant can be truncated.",
                param="item_id",
            )
        if audio_s > item.audio_s + 1e-9:
            raise Refused(
                code="invalid_value",
                message=f"Audio content of {item.audio_s * 1000:.0f}ms is already shorter than {audio_s * 1000:.0f}ms",
                param="audio_end_ms",
            )
        events: Events = []
        if self._active is not None and self._active.item is item:
            events += self._end(self._active, "cancelled", {"type": "cancelled", "reason": "turn_detected"})
        item.cut(audio_s)
        truncated = {"type": "conversation.item.truncated", "item_id": item.id, "content_index": 0}
        return [*events, {**truncated, "audio_end_ms": round(audio_s * 1000)}]

    def fail(self, code: str, message: str) -> Events:
        """End the response because the conversation is over."""
        if self._active is None:
            return []
        error = {"type": "server_error", "code": code, "message": message}
        return self._end(self._active, "failed", {"type": "failed", "error": error})

    def _unasked(self) -> Asked:
        settings = self._settings()
        return Asked(modality=settings.modality, format=settings.output_format)

    def _create(self, asked: Asked) -> Events:
        kind = "output_text" if asked.modality == "text" else "output_audio"
        item = Item(role="assistant", content_type=kind, status="in_progress", has_content=False)
        self._active = _Response(asked, item, Encoder(asked.format))
        return [{"type": "response.created", "response": self._to_json(self._active, "in_progress", None)}]

    def _heard(self, frame: AudioFrame, speaking: bool) -> Events:
        """Take a frame for the response that there is."""
        response = self._active
        assert response is not None
        if response.since is None:
            response.since = frame.frame
        events: Events = []
        if response.first is None:
            if not speaking:
                self._before = frame if frame.valid else None
                if frame.frame + 1 - response.since >= self._pace.wait:
                    events += self._end(response, "completed", None)
                return events
            before = self._before
            events += self._open(response, frame.frame if before is None else before.frame)
            if before is not None:
                events += self._sound(response, before)
        self._before = None
        if speaking:
            response.last_sound = max(response.last_sound, frame.frame)
        assert response.first is not None
        events += self._sound(response, frame)
        if frame.frame + 1 - response.first >= self._pace.most:
            events += self._end(response, "incomplete", {"type": "incomplete", "reason": "max_output_tokens"})
        elif frame.frame - response.last_sound >= self._pace.end:
            events += self._end(response, "completed", None)
        return events

    def _open(self, response: _Response, first: int) -> Events:
        """Begin the response's item."""
        response.first = response.last_sound = first
        item = response.item
        response.previous = self._items.add(item)
        events = [
            {
                "type": "response.output_item.added",
                "response_id": response.id,
                "output_index": 0,
                "item": item.to_json(),
            },
            added(item, response.previous),
            {"type": "response.content_part.added", **response.place(), "part": self._part(response)},
        ]
        item.has_content = True
        return events

    def _sound(self, response: _Response, frame: AudioFrame) -> Events:
        if response.asked.modality == "text":
            return []
        response.item.audio_s += self._pace.frame_s
        return self._delta(response, response.encoder.encode(frame.pcm))

    def _delta(self, response: _Response, data: bytes) -> Events:
        if not data:
            return []
        delta = base64.b64encode(data).decode()
        return [{"type": "response.output_audio.delta", **response.place(), "delta": delta}]

    def _end(self, response: _Response, status: str, details: dict[str, Any] | None) -> Events:
        self._active = None
        self._before = None
        finished = status == "completed" and response.first is not None
        self._words_from = response.last_sound + 1 if finished else self._frame + 1
        events: Events = []
        if response.first is not None:
            events += self._close(response, "completed" if status == "completed" else "incomplete")
        return [*events, {"type": "response.done", "response": self._to_json(response, status, details)}]

    def _close(self, response: _Response, status: str) -> Events:
        """Say that the response's item is complete, or as complete as it will be."""
        item, place = response.item, response.place()
        item.status = "completed" if status == "completed" else "incomplete"
        events: Events = []
        if response.asked.modality == "text":
            events.append({"type": "response.output_text.done", **place, "text": item.text})
        else:
            if status == "completed":
                events += self._delta(response, response.encoder.finish())
            events.append({"type": "response.output_audio.done", **place})
            events.append({"type": "response.output_audio_transcript.done", **place, "transcript": item.text})
        return [
            *events,
            {"type": "response.content_part.done", **place, "part": self._part(response)},
            done(item, response.previous),
            {
                "type": "response.output_item.done",
                "response_id": response.id,
                "output_index": 0,
                "item": item.to_json(),
            },
        ]

    def _output_item(self, response: _Response, what: str) -> dict[str, Any]:
        place = {"response_id": response.id, "output_index": 0}
        return {"type": f"response.output_item.{what}", **place, "item": response.item.to_json()}

    def _part(self, response: _Response) -> dict[str, Any]:
        if response.asked.modality == "text":
            return {"type": "text", "text": response.item.text}
        return {"type": "audio", "transcript": response.item.text}

    def _to_json(self, response: _Response, status: str, details: dict[str, Any] | None) -> dict[str, Any]:
        settings = self._settings()
        output = {"format": format_to_json(response.asked.format), "voice": settings.voice or settings.model}
        return {
            "object": "realtime.response",
            "id": response.id,
            "status": status,
            "status_details": details,
            "output": [response.item.to_json()] if response.first is not None and status != "in_progress" else [],
            "conversation_id": self._conversation_id,
            "output_modalities": [response.asked.modality],
            "max_output_tokens": "inf",
            "audio": {"output": output},
            "usage": None,
            "metadata": dict(response.asked.metadata) if response.asked.metadata is not None else None,
        }

    def _spelt(self, text: ExtractedText, *, first: bool) -> str:
        """Return what goes behind the words before, with a space where the vocabulary has one."""
        joined = bool(text.tokens) and text.tokens[0] not in self._vocabulary.word_starts
        return text.text if first or joined else f" {text.text}"


def _is_sound(frame: AudioFrame) -> bool:
    return float(np.sqrt(np.mean(np.square(frame.pcm)))) >= _SOUND_RMS
