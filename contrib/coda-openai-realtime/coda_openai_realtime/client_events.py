"""What clients send: JSON in, what is to be done out. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

import attrs

from coda_openai_realtime.fields import choice, mapping, only, text, whole_number
from coda_openai_realtime.refusal import Refused
from coda_openai_realtime.session_settings import Modality, modality_of, sound_format
from coda_openai_realtime.sound import SoundFormat

__all__ = [
    "Append",
    "Cancel",
    "Clear",
    "ClientEvent",
    "Commit",
    "Create",
    "CreateItem",
    "DeleteItem",
    "RetrieveItem",
    "TruncateItem",
    "Update",
    "fields_of",
    "read_event",
]

_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "session.update": ("session",),
    "input_audio_buffer.append": ("audio",),
    "input_audio_buffer.commit": (),
    "input_audio_buffer.clear": (),
    "conversation.item.create": ("item", "previous_item_id"),
    "conversation.item.retrieve": ("item_id",),
    "conversation.item.truncate": ("audio_end_ms", "content_index", "item_id"),
    "conversation.item.delete": ("item_id",),
    "response.create": ("response",),
    "response.cancel": ("response_id",),
}
"""Every event with the fields that it may have beside ``type`` and ``event_id``."""

_RESPONSE_FIELDS: Final = (
    "audio",
    "conversation",
    "input",
    "instructions",
    "max_output_tokens",
    "metadata",
    "output_modalities",
    "parallel_tool_calls",
    "prompt",
    "reasoning",
    "temperature",
    "tool_choice",
    "tools",
)
_LONGEST_ID: Final = 512
_MOST_PARTS: Final = 100


@attrs.frozen(kw_only=True)
class ClientEvent:
    """Base of all."""

    event_id: str | None = None


@attrs.frozen(kw_only=True)
class Update(ClientEvent):
    """``session.update``"""

    session: Any


@attrs.frozen(kw_only=True)
class Append(ClientEvent):
    """``input_audio_buffer.append``"""

    audio: bytes


@attrs.frozen(kw_only=True)
class Commit(ClientEvent):
    """``input_audio_buffer.commit``"""


@attrs.frozen(kw_only=True)
class Clear(ClientEvent):
    """``input_audio_buffer.clear``"""


@attrs.frozen(kw_only=True)
class CreateItem(ClientEvent):
    """``conversation.item.create`` with a message."""

    id: str | None
    role: str
    texts: tuple[str, ...]
    audio: bytes
    """Of the caller; empty where it has none."""
    after: str | None


@attrs.frozen(kw_only=True)
class RetrieveItem(ClientEvent):
    """``conversation.item.retrieve``"""

    item_id: str


@attrs.frozen(kw_only=True)
class TruncateItem(ClientEvent):
    """``conversation.item.truncate``"""

    item_id: str
    audio_s: float


@attrs.frozen(kw_only=True)
class DeleteItem(ClientEvent):
    """``conversation.item.delete``"""

    item_id: str


@attrs.frozen(kw_only=True)
class Create(ClientEvent):
    """``response.create``; None where the session's own is meant."""

    modality: Modality | None = None
    format: SoundFormat | None = None
    metadata: Mapping[str, str] | None = None


@attrs.frozen(kw_only=True)
class Cancel(ClientEvent):
    """``response.cancel``"""

    response_id: str | None = None


def fields_of(message: str | bytes) -> dict[str, Any]:
    """Return the JSON object in a message. Raises `Refused` where it is none."""
    try:
        if isinstance(message, bytes):
            raise ValueError("a binary message")
        fields = json.loads(message, parse_constant=_no_number)
        if not isinstance(fields, dict):
            raise ValueError("no object")
    except (ValueError, RecursionError) as error:
        raise Refused(
            code="invalid_json",
            message=f"We could not parse the JSON body of your message: {' '.join(str(error).split())[:200]}.",
        ) from None
    return fields


def read_event(fields: Mapping[str, Any]) -> ClientEvent:
    """Return the event in an object. Raises `Refused`, with the event's id."""
    event_id = fields.get("event_id")
    if event_id is not None and (not isinstance(event_id, str) or len(event_id) > _LONGEST_ID):
        raise Refused(
            code="invalid_type",
            message=f"Invalid 'event_id': expected a string of at most {_LONGEST_ID} characters.",
            param="event_id",
        )
    try:
        return _read(fields, event_id)
    except Refused as refused:
        raise attrs.evolve(refused, event_id=event_id) from None


def _read(fields: Mapping[str, Any], event_id: str | None) -> ClientEvent:
    type = choice(text(fields, "type"), tuple(_FIELDS), "type")
    only(fields, ("type", "event_id", *_FIELDS[type]), "")
    match type:
        case "session.update":
            return Update(event_id=event_id, session=mapping(fields.get("session"), "session"))
        case "input_audio_buffer.append":
            return Append(event_id=event_id, audio=_audio(text(fields, "audio"), "audio"))
        case "input_audio_buffer.commit":
            return Commit(event_id=event_id)
        case "input_audio_buffer.clear":
            return Clear(event_id=event_id)
        case "conversation.item.create":
            after = fields.get("previous_item_id")
            after = None if after is None else text(fields, "previous_item_id")
            return _item(mapping(fields.get("item"), "item"), after, event_id)
        case "conversation.item.retrieve":
            return RetrieveItem(event_id=event_id, item_id=text(fields, "item_id"))
        case "conversation.item.truncate":
            if whole_number(fields, "content_index"):
                message = "Invalid 'content_index': messages of the assistant have one part, of index 0."
                raise Refused(code="invalid_value", message=message, param="content_index")
            audio_s = whole_number(fields, "audio_end_ms") / 1000
            return TruncateItem(event_id=event_id, item_id=text(fields, "item_id"), audio_s=audio_s)
        case "conversation.item.delete":
            return DeleteItem(event_id=event_id, item_id=text(fields, "item_id"))
        case "response.create":
            response = fields.get("response")
            return _create(mapping({} if response is None else response, "response"), event_id)
        case _:
            response_id = fields.get("response_id")
            return Cancel(event_id=event_id, response_id=None if response_id is None else text(fields, "response_id"))


def _item(item: Mapping[str, Any], after: str | None, event_id: str | None) -> CreateItem:
    only(item, ("content", "id", "object", "role", "status", "type", "arguments", "call_id", "name", "output"), "item")
    if text(item, "type", "item") != "message":
        raise Refused(
            code="unsupported_item",
            message=f"Items of type '{item['type'][:80]}' are not supported: Moshi calls no functions.",
            param="item.type",
        )
    role = choice(text(item, "role", "item"), ("user", "assistant", "system"), "item.role")
    id = None if item.get("id") is None else text(item, "id", "item")
    if id is not None and not 0 < len(id) <= _LONGEST_ID:
        raise Refused(code="invalid_value", message="Invalid 'item.id': it is blank or too long.", param="item.id")
    content = item.get("content")
    if not isinstance(content, list) or not 0 < len(content) <= _MOST_PARTS:
        raise Refused(
            code="invalid_value", message="Invalid 'item.content': expected an array of parts.", param="item.content"
        )
    texts: list[str] = []
    audio = b""
    for number, part in enumerate(content):
        at = f"item.content[{number}]"
        part = mapping(part, at)
        kind = text(part, "type", at)
        if kind in ("input_text", "output_text", "text"):
            texts.append(text(part, "text", at))
        elif kind == "input_audio" and role == "user":
            audio += _audio(text(part, "audio", at), f"{at}.audio")
        else:
            raise Refused(
                code="invalid_value",
                message=f"Invalid value: '{kind[:80]}'. Moshi takes text, and audio of the user.",
                param=f"{at}.type",
            )
    return CreateItem(event_id=event_id, id=id, role=role, texts=tuple(texts), audio=audio, after=after)


def _create(response: Mapping[str, Any], event_id: str | None) -> Create:
    only(response, _RESPONSE_FIELDS, "response")
    if response.get("conversation") not in (None, "auto") or response.get("input"):
        raise Refused(
            code="unsupported_response",
            message="Moshi holds one conversation at a time: a response of another one, or to other input, "
            "is not supported.",
            param="response.input" if response.get("input") else "response.conversation",
        )
    modality = format = None
    if response.get("output_modalities") is not None:
        modality = modality_of(response["output_modalities"], "response.output_modalities")
    audio = mapping(response.get("audio") or {}, "response.audio")
    output = mapping(audio.get("output") or {}, "response.audio.output")
    if output.get("format") is not None:
        format = sound_format(output["format"], "response.audio.output.format")
    return Create(event_id=event_id, modality=modality, format=format, metadata=_metadata(response.get("metadata")))


def _metadata(value: Any) -> Mapping[str, str] | None:
    if value is None:
        return None
    fields = mapping(value, "response.metadata")
    fits = len(fields) <= 16 and all(
        isinstance(each, str) and len(each) <= 512 and len(name) <= 64 for name, each in fields.items()
    )
    if not fits:
        raise Refused(
            code="invalid_value",
            message="Invalid 'response.metadata': expected up to 16 strings of up to 512 characters.",
            param="response.metadata",
        )
    return fields


def _audio(encoded: str, param: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except ValueError:
        raise Refused(
            code="invalid_value",
            message=f"Invalid '{param}'. Expected base64-encoded audio bytes but got an invalid value.",
            param=param,
        ) from None


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")
