"""The protocol as it was in the beta, for clients that ask for that: other names for the same things. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import attrs

from coda_openai_realtime.refusal import Refused
from coda_openai_realtime.sound import FORMATS

__all__ = ["BETA", "TODAY", "Dialect"]

_BETA_TYPES: Final = {
    "conversation.item.added": "conversation.item.created",
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
}
_BETA_CONTENT: Final = {"output_audio": "audio", "output_text": "text"}
_BETA_FORMATS: Final = {format.type: format.beta_name for format in FORMATS}
_FORMATS: Final = {format.beta_name: format.type for format in FORMATS}

_MOVED: Final = {
    "input_audio_format": ("audio", "input", "format"),
    "input_audio_noise_reduction": ("audio", "input", "noise_reduction"),
    "input_audio_transcription": ("audio", "input", "transcription"),
    "turn_detection": ("audio", "input", "turn_detection"),
    "output_audio_format": ("audio", "output", "format"),
    "speed": ("audio", "output", "speed"),
    "voice": ("audio", "output", "voice"),
    "modalities": ("output_modalities",),
    "max_response_output_tokens": ("max_output_tokens",),
}
"""Where a field of a beta session or response is today."""


class Dialect(Protocol):
    """Translates between a client and the rest, which speaks the protocol of today."""

    def understood(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a client's event; raises `Refused`."""

    def spoken(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """Return a server's event, None where there is no such thing."""


@attrs.frozen
class _Today:
    def understood(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        return fields

    def spoken(self, event: dict[str, Any]) -> dict[str, Any] | None:
        return event


@attrs.frozen
class _Beta:
    def understood(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        for name in ("session", "response"):
            if isinstance(fields.get(name), dict):
                fields = {**fields, name: _nested(fields[name], name)}
        return fields

    def spoken(self, event: dict[str, Any]) -> dict[str, Any] | None:
        if event["type"] == "conversation.item.done":
            return None
        said = {**event, "type": _BETA_TYPES.get(event["type"], event["type"])}
        if "session" in said:
            said["session"] = _session(said["session"])
        if "response" in said:
            said["response"] = _response(said["response"])
        if "item" in said:
            said["item"] = _item(said["item"])
        return said


TODAY: Final[Dialect] = _Today()
BETA: Final[Dialect] = _Beta()


def _nested(flat: Mapping[str, Any], at: str) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        if name == "audio":
            raise Refused(code="unknown_parameter", message=f"Unknown parameter: '{at}.audio'.", param=f"{at}.audio")
        if name.endswith("_audio_format") and value is not None:
            if not isinstance(value, str) or value not in _FORMATS:
                raise Refused(
                    code="invalid_value",
                    message=f"Invalid value: '{str(value)[:80]}'. Supported values are: {', '.join(_FORMATS)}.",
                    param=f"{at}.{name}",
                )
            value = {"type": _FORMATS[value]}
        *path, last = _MOVED.get(name, (name,))
        place = nested
        for step in path:
            place = place.setdefault(step, {})
        place[last] = value
    return nested


def _session(session: Mapping[str, Any]) -> dict[str, Any]:
    heard, spoken = session["audio"]["input"], session["audio"]["output"]
    kept = ("id", "object", "model", "instructions", "tools", "tool_choice", "tracing", "expires_at")
    return {
        **{name: session[name] for name in kept if name in session},
        "modalities": _modalities(session["output_modalities"]),
        "voice": spoken["voice"],
        "speed": spoken["speed"],
        "input_audio_format": _BETA_FORMATS[heard["format"]["type"]],
        "output_audio_format": _BETA_FORMATS[spoken["format"]["type"]],
        "input_audio_transcription": heard["transcription"],
        "input_audio_noise_reduction": heard["noise_reduction"],
        "turn_detection": heard["turn_detection"],
        "temperature": None,
        "max_response_output_tokens": session["max_output_tokens"],
    }


def _response(response: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("object", "id", "status", "status_details", "conversation_id", "max_output_tokens", "usage", "metadata")
    output = response["audio"]["output"]
    return {
        **{name: response[name] for name in kept},
        "output": [_item(item) for item in response["output"]],
        "modalities": _modalities(response["output_modalities"]),
        "output_audio_format": _BETA_FORMATS[output["format"]["type"]],
        "voice": output["voice"],
        "temperature": None,
    }


def _item(item: Mapping[str, Any]) -> dict[str, Any]:
    content = [{**part, "type": _BETA_CONTENT.get(part["type"], part["type"])} for part in item["content"]]
    return {**item, "content": content}


def _modalities(modalities: list[str]) -> list[str]:
    return ["text", "audio"] if "audio" in modalities else ["text"]
