"""The JSON Schema in the documentation, against what the server takes and sends."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coda_core.events import Interrupted, Paused, event_to_json
from coda_core.text import ExtractedText
from coda_websocket.orders import COMMANDS, BadOrder, read_order

PAGE = Path(__file__).parent.parent.parent / "docs" / "protocol.md"


def schema() -> dict[str, Any]:
    (block,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    value: dict[str, Any] = json.loads(block)
    return value


VALIDATOR = jsonschema.Draft202012Validator(schema())


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


values = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.text(max_size=5)


@given(
    st.fixed_dictionaries(
        {"command": st.sampled_from([*COMMANDS, "sing"])},
        optional={
            **dict.fromkeys(("text", "deadline_s", "expires_s", "yields", "for_s", "id", "loud"), values),
        },
    )
)
def test_it_takes_what_the_server_takes_and_nothing_else(command: dict[str, Any]) -> None:
    try:
        read_order(json.dumps(command))
    except BadOrder:
        taken = False
    else:
        taken = True
    assert VALIDATOR.is_valid(command) == taken


@pytest.mark.parametrize(
    "message",
    [
        {"type": "reply", "ok": True, "id": None},
        {"type": "reply", "ok": False, "id": "a", "error": "no"},
        {"type": "reply", "ok": True, "id": 1, "command": 7},
        {"type": "hello", "version": 1, "conversation": "c", "status": "live", "frame": 0, "durable_sequence": 1},
        json.loads(event_to_json(Paused(conversation="c", sequence=2, frame=3, time_s=4.0))),
        json.loads(event_to_json(Interrupted(conversation="c", sequence=2, for_s=None))),
        json.loads(
            event_to_json(
                ExtractedText(conversation="c", sequence=3, text="hi", start_s=0.0, end_s=0.1, confidence=1.0)
            )
        ),
    ],
)
def test_it_takes_what_the_server_sends(message: dict[str, Any]) -> None:
    VALIDATOR.validate(message)
