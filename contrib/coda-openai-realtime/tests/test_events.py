"""Whatever a client sends, it is an event or refused: nothing else comes of reading it."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest

from coda_openai_realtime.client_events import Update, read_event
from coda_openai_realtime.config import OpenaiRealtimeConfig
from coda_openai_realtime.dialect import BETA, TODAY, Dialect
from coda_openai_realtime.refusal import Refused
from coda_openai_realtime.session_settings import Abilities, SessionSettings, updated

EVENTS: list[dict[str, Any]] = [
    {
        "type": "session.update",
        "event_id": "event-1",
        "session": {
            "type": "realtime",
            "output_modalities": ["audio"],
            "instructions": "be kind",
            "audio": {
                "input": {"format": {"type": "audio/pcm", "rate": 24000}, "turn_detection": {"type": "server_vad"}},
                "output": {"format": {"type": "audio/pcmu"}, "voice": {"id": "marin"}, "speed": 1.0},
            },
        },
    },
    {
        "type": "session.update",
        "session": {
            "modalities": ["text", "audio"],
            "input_audio_format": "pcm16",
            "output_audio_format": "g711_alaw",
            "turn_detection": {"type": "server_vad", "interrupt_response": True},
            "voice": "alloy",
        },
    },
    {"type": "input_audio_buffer.append", "audio": "AAAA"},
    {"type": "input_audio_buffer.commit"},
    {
        "type": "conversation.item.create",
        "previous_item_id": "root",
        "item": {
            "id": "mine",
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "hello"}, {"type": "input_audio", "audio": "AAAA"}],
        },
    },
    {"type": "conversation.item.truncate", "item_id": "mine", "content_index": 0, "audio_end_ms": 80},
    {
        "type": "response.create",
        "response": {
            "output_modalities": ["text"],
            "audio": {"output": {"format": {"type": "audio/pcm"}}},
            "metadata": {"topic": "boats"},
            "conversation": "auto",
        },
    },
    {"type": "response.create", "response": {"modalities": ["text"], "output_audio_format": "pcm16"}},
    {"type": "response.cancel", "response_id": "resp_1"},
]
JUNK: list[Any] = [
    None,
    True,
    0,
    -1,
    1e300,
    "",
    "x",
    [],
    [[]],
    {},
    {"type": []},
    ["audio"],
    "audio/pcm",
    "\ud800",
    10**40,
]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container in a value with every key in it."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


def mutants(event: dict[str, Any], dice: random.Random) -> Iterator[dict[str, Any]]:
    for number in range(len(list(places(event)))):
        for junk in JUNK:
            changed = copy.deepcopy(event)
            container, key = list(places(changed))[number]
            container[key] = copy.deepcopy(junk)
            if dice.random() < 0.3:
                other, name = dice.choice(list(places(changed)))
                if isinstance(other, dict):
                    other[f"{name}s"] = other.pop(name)
            yield changed


@pytest.mark.parametrize("dialect", [TODAY, BETA], ids=["today", "beta"])
def test_a_changed_event_is_understood_or_refused(dialect: Dialect) -> None:
    dice = random.Random(1)
    abilities = Abilities(OpenaiRealtimeConfig(), "moshi", prompt=True, interrupt=True)
    settings = SessionSettings(model="moshi")
    understood = refused = 0
    for event in EVENTS:
        for changed in (event, *mutants(event, dice)):
            try:
                read = read_event(dialect.understood(changed))
                if isinstance(read, Update):
                    updated(settings, read.session, abilities, begun=False)
                understood += 1
            except Refused:
                refused += 1
    assert understood > 40
    assert refused > 300


def test_every_session_of_the_beta_is_one_of_today() -> None:
    abilities = Abilities(OpenaiRealtimeConfig(), "moshi", prompt=True, interrupt=True)
    settings = SessionSettings(model="moshi")
    for event in EVENTS[:2]:
        read = read_event((BETA if "modalities" in event["session"] else TODAY).understood(event))
        assert isinstance(read, Update)
        settings = updated(settings, read.session, abilities, begun=False)
        told = {"type": "session.updated", "session": {"id": "sess_1", **settings.to_json(), "expires_at": 0}}
        beta = BETA.spoken(told)
        assert beta is not None
        flat = {name: beta["session"][name] for name in ("input_audio_format", "output_audio_format", "turn_detection")}
        again = read_event(BETA.understood({"type": "session.update", "session": flat}))
        assert isinstance(again, Update)
        assert updated(settings, again.session, abilities, begun=False) == settings
