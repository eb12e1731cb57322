"""Kyutai's binary protocol: a byte that says the kind, then the payload. Pure."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final

import attrs

__all__ = [
    "Control",
    "Kind",
    "Malformed",
    "Message",
    "audio_message",
    "error_message",
    "handshake_message",
    "metadata_message",
    "parse_message",
    "text_message",
]

PROTOCOL_VERSION: Final = 0
MODEL_VERSION: Final = 0


class Kind(IntEnum):
    """What a message is."""

    HANDSHAKE = 0
    """From the server when the conversation is open: u32 protocol version, u32 model version, little endian."""
    AUDIO = 1
    TEXT = 2
    CONTROL = 3
    """One byte, a `Control`."""
    METADATA = 4
    """A JSON object."""
    ERROR = 5
    """UTF-8, for a person."""
    PING = 6


class Control(IntEnum):
    """What a peer can ask for."""

    START = 0
    END_OF_TURN = 1
    PAUSE = 2
    RESTART = 3


class Malformed(ValueError):
    """A message that breaks the protocol; the text fits into a close frame."""


@attrs.frozen
class Message:
    """A message of a known kind."""

    kind: Kind
    payload: bytes


def handshake_message() -> bytes:
    """Say that the conversation is open and audio may come."""
    return struct.pack("<BII", Kind.HANDSHAKE, PROTOCOL_VERSION, MODEL_VERSION)


def audio_message(data: bytes) -> bytes:
    return bytes((Kind.AUDIO,)) + data


def text_message(text: str) -> bytes:
    return bytes((Kind.TEXT,)) + text.encode("utf-8", "replace")


def error_message(text: str) -> bytes:
    return bytes((Kind.ERROR,)) + text.encode("utf-8", "replace")


def metadata_message(values: Mapping[str, Any]) -> bytes:
    return bytes((Kind.METADATA,)) + json.dumps(values).encode()


def parse_message(data: bytes) -> Message | None:
    """Return the message in `data`, None for a kind that is not known, which is to be discarded.

    Raises `Malformed` for a message without a kind and for a control message that is not one known byte.
    """
    if not data:
        raise Malformed("an empty message has no kind")
    if data[0] not in _KINDS:
        return None
    message = Message(Kind(data[0]), data[1:])
    if message.kind is Kind.CONTROL:
        if len(message.payload) != 1:
            raise Malformed(f"a control message of {len(message.payload)} bytes; expected 1")
        if message.payload[0] not in _CONTROLS:
            raise Malformed(f"there is no control {message.payload[0]}; expected 0 to 3")
    return message


_KINDS: Final = frozenset(Kind)
_CONTROLS: Final = frozenset(Control)
