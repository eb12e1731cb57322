"""The session object: what a client may ask for, and what is in force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import attrs

from coda_openai_realtime.config import OpenaiRealtimeConfig
from coda_openai_realtime.fields import choice, flag, mapping, only, written
from coda_openai_realtime.refusal import Refused
from coda_openai_realtime.sound import FORMATS, PCM, SoundFormat

__all__ = ["Abilities", "Modality", "SessionSettings", "format_to_json", "modality_of", "sound_format", "updated"]

Modality = Literal["audio", "text"]

_SERVER_FIELDS: Final = ("client_secret", "expires_at", "id", "object")
"""What a client sends back that took a whole session object for a template."""
_FIELDS: Final = (
    *_SERVER_FIELDS,
    "audio",
    "include",
    "instructions",
    "max_output_tokens",
    "model",
    "output_modalities",
    "parallel_tool_calls",
    "prompt",
    "reasoning",
    "temperature",
    "tool_choice",
    "tools",
    "tracing",
    "truncation",
    "type",
)
_DETECTION_FIELDS: Final = (
    "create_response",
    "eagerness",
    "idle_timeout_ms",
    "interrupt_response",
    "prefix_padding_ms",
    "silence_duration_ms",
    "threshold",
    "type",
)
_TYPES: Final = {format.type: format for format in FORMATS}


@attrs.frozen
class Abilities:
    """What the stack's processor and this transport's settings allow."""

    config: OpenaiRealtimeConfig
    model: str
    """What the model is called to a client."""
    prompt: bool
    """Whether it takes a prompt, and so instructions and voices."""
    interrupt: bool


@attrs.frozen(kw_only=True)
class SessionSettings:
    """What is in force for one session."""

    model: str
    input_format: SoundFormat = PCM
    output_format: SoundFormat = PCM
    modality: Modality = "audio"
    detects_turns: bool = True
    """Whether the client is told when it speaks, and its audio is committed for it."""
    interrupts: bool = False
    """Whether Moshi is made silent when the client begins to speak; Moshi decides that itself otherwise."""
    instructions: str = ""
    voice: str = ""
    """Name of a voice of the settings; empty for the model's own."""

    def to_json(self) -> dict[str, Any]:
        """Return it as a session object, without what the server knows: id and end."""
        detection = {
            "type": "server_vad",
            "create_response": True,
            "interrupt_response": self.interrupts,
        }
        return {
            "type": "realtime",
            "object": "realtime.session",
            "model": self.model,
            "output_modalities": [self.modality],
            "instructions": self.instructions,
            "tools": [],
            "tool_choice": "none",
            "max_output_tokens": "inf",
            "tracing": None,
            "truncation": "disabled",
            "prompt": None,
            "include": None,
            "audio": {
                "input": {
                    "format": format_to_json(self.input_format),
                    "transcription": None,
                    "noise_reduction": None,
                    "turn_detection": detection if self.detects_turns else None,
                },
                "output": {
                    "format": format_to_json(self.output_format),
                    "voice": self.voice or self.model,
                    "speed": 1.0,
                },
            },
        }


def format_to_json(format: SoundFormat) -> dict[str, Any]:
    return {"type": format.type, "rate": format.rate_hz} if format is PCM else {"type": format.type}


def updated(settings: SessionSettings, session: Any, abilities: Abilities, *, begun: bool) -> SessionSettings:
    """Return the settings after a ``session.update``; raises `Refused`, and then nothing of it is in force.

    What no full-duplex model can do is left out: the session object in the answer says what is in force. `begun` says
    that the model has begun to listen: from then on its prompt and voice stand.
    """
    session = mapping(session, "session")
    only(session, _FIELDS, "session")
    if "type" in session:
        choice(session["type"], ("realtime",), "session.type")
    changes: dict[str, Any] = {}
    if session.get("output_modalities") is not None:
        changes["modality"] = modality_of(session["output_modalities"], "session.output_modalities")
    audio = mapping(session.get("audio") or {}, "session.audio")
    only(audio, ("input", "output"), "session.audio")
    changes |= _input(mapping(audio.get("input") or {}, "session.audio.input"), settings, abilities)
    output = mapping(audio.get("output") or {}, "session.audio.output")
    only(output, ("format", "speed", "voice"), "session.audio.output")
    if output.get("format") is not None:
        changes["output_format"] = sound_format(output["format"], "session.audio.output.format")
    if output.get("voice") is not None:
        changes["voice"] = _voice(output["voice"], settings, abilities)
    if session.get("instructions") is not None:
        changes["instructions"] = _instructions(session["instructions"], abilities)
    new = attrs.evolve(settings, **changes)
    if begun and new.instructions != settings.instructions:
        raise _too_late("instructions", "session.instructions")
    if begun and new.voice != settings.voice:
        raise _too_late("voice", "session.audio.output.voice")
    return new


def sound_format(value: Any, param: str) -> SoundFormat:
    """Return the format that a client names; raises `Refused`."""
    value = mapping(value, param)
    only(value, ("rate", "type"), param)
    found = _TYPES[choice(value.get("type", PCM.type), tuple(_TYPES), f"{param}.type")]
    if value.get("rate") not in (None, found.rate_hz):
        raise Refused(
            code="invalid_value",
            message=f"Invalid '{param}.rate': '{found.type}' has a rate of {found.rate_hz}.",
            param=f"{param}.rate",
        )
    return found


def modality_of(value: Any, param: str) -> Modality:
    """Return the one modality that a client asks for; raises `Refused`."""
    if not isinstance(value, list) or value not in (["audio"], ["text"], ["text", "audio"], ["audio", "text"]):
        raise Refused(
            code="invalid_value",
            message=f"Invalid '{param}': expected ['audio'] or ['text'].",
            param=param,
        )
    return "audio" if "audio" in value else "text"


def _input(given: Mapping[str, Any], settings: SessionSettings, abilities: Abilities) -> dict[str, Any]:
    at = "session.audio.input"
    only(given, ("format", "noise_reduction", "transcription", "turn_detection"), at)
    changes: dict[str, Any] = {}
    if given.get("format") is not None:
        changes["input_format"] = sound_format(given["format"], f"{at}.format")
    if "turn_detection" in given:
        changes["detects_turns"] = given["turn_detection"] is not None
        detection = mapping(given["turn_detection"] or {}, f"{at}.turn_detection")
        only(detection, _DETECTION_FIELDS, f"{at}.turn_detection")
        if detection.get("type") is not None:
            choice(detection["type"], ("server_vad", "semantic_vad"), f"{at}.turn_detection.type")
        interrupts = settings.interrupts
        if detection.get("interrupt_response") is not None:
            interrupts = flag(detection["interrupt_response"], f"{at}.turn_detection.interrupt_response")
        changes["interrupts"] = interrupts and abilities.interrupt and changes["detects_turns"]
    return changes


def _instructions(given: Any, abilities: Abilities) -> str:
    value = written(given, "session.instructions")
    if not abilities.prompt or abilities.config.instructions == "ignore":
        return ""
    most = abilities.config.max_instructions_characters
    if len(value) > most:
        raise Refused(
            code="string_above_max_length",
            message=f"Invalid 'session.instructions': {len(value)} characters; this server takes {most}.",
            param="session.instructions",
        )
    return value


def _voice(value: Any, settings: SessionSettings, abilities: Abilities) -> str:
    name = value.get("id") if isinstance(value, dict) else value
    param = "session.audio.output.voice"
    name = written(name, param)
    known = tuple(voice.name for voice in abilities.config.voices) if abilities.prompt else ()
    if name in known:
        return name
    if name == abilities.model:
        return ""
    if abilities.config.unknown_voices == "refuse":
        choice(name, (*known, abilities.model), param)
    return settings.voice


def _too_late(what: str, param: str) -> Refused:
    return Refused(
        code=f"cannot_update_{what}",
        message=f"The {what} cannot be changed once audio or text was sent: Moshi takes them in before it listens.",
        param=param,
    )
