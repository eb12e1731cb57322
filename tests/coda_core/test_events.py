"""Events: their way through JSON, and what becomes of those that are not known here."""

from __future__ import annotations

import json
from typing import ClassVar

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coda_core import events as module
from coda_core.events import (
    Closed,
    Event,
    Failed,
    Fault,
    Gap,
    Opened,
    Paused,
    Resumed,
    UnknownEvent,
    event_from_json,
    event_to_json,
)

finite = st.floats(allow_nan=False, allow_infinity=False)
number = st.integers(-(2**70), 2**70)
value = st.none() | st.booleans() | number | finite | st.text()
heading = {
    "conversation": st.text(),
    "sequence": st.integers(0),
    "frame": st.none() | st.integers(0),
    "time_s": finite,
}
known_events = st.one_of(
    st.builds(
        Opened,
        **heading,
        user_id=st.none() | st.text(),
        stack=st.text(),
        processor=st.text(),
        fingerprint=st.text(),
        slots=st.integers(0),
        options=st.dictionaries(st.text(), value),
        metadata=st.dictionaries(st.text(), st.text()),
    ),
    st.builds(Closed, **heading, reason=st.text(), frames=st.integers(0)),
    st.builds(Paused, **heading),
    st.builds(Resumed, **heading),
    st.builds(Gap, **heading, frames=st.integers(0), reason=st.text()),
    st.builds(Fault, **heading, message=st.text(), restarted=st.booleans()),
    st.builds(Failed, **heading, message=st.text()),
)


@attrs.frozen(kw_only=True)
class Mood(Event):
    type: ClassVar[str] = "test-mood"
    version: ClassVar[int] = 2

    name: str
    scores: tuple[float, ...] = ()
    raw: bytes = b""


@attrs.frozen(kw_only=True)
class Weather(Event):
    type: ClassVar[str] = "test-weather"

    degrees: float
    wind: str = "calm"


@given(known_events)
def test_every_event_comes_back_from_json_equal(event: Event) -> None:
    back = event_from_json(event_to_json(event))
    assert back == event
    assert type(back) is type(event)


@given(st.dictionaries(st.text(), value))
def test_options_keep_their_types(options: dict[str, int | float | bool | str | None]) -> None:
    back = event_from_json(event_to_json(Opened(options=options)))
    assert isinstance(back, Opened)
    assert {name: type(item) for name, item in back.options.items()} == {
        name: type(item) for name, item in options.items()
    }


@given(known_events)
def test_json_is_plain_utf8_that_any_reader_takes(event: Event) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    fields = json.loads(event_to_json(event).encode().decode(), parse_constant=refuse)
    assert (fields["type"], fields["version"]) == (event.type, event.version)


def test_half_a_surrogate_pair_survives() -> None:
    event = Fault(message="a\ud83d b", conversation="c", sequence=1)
    text = event_to_json(event)
    assert text.encode().decode() == text
    assert event_from_json(text) == event


def test_text_of_other_languages_stays_readable() -> None:
    assert "déjà vu" in event_to_json(Fault(message="déjà vu"))


def test_a_plugins_event_comes_back_as_its_own_class() -> None:
    event = Mood(name="calm", scores=(0.1, 0.2), raw=b"\x00\xff", conversation="c", sequence=3, frame=7, time_s=1.5)
    assert event_from_json(event_to_json(event)) == event


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_has_no_json(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        event_to_json(Weather(degrees=number))


def test_a_field_of_some_class_has_no_json() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        event_to_json(Opened(metadata={"key": object()}))  # type: ignore[dict-item]


def test_an_unknown_type_comes_back_with_its_fields_untouched() -> None:
    text = (
        '{"type": "gesture", "version": 4, "conversation": "c", "sequence": 9, "frame": 2, "time_s": 1.0,'
        ' "hands": [1, {"left": null}]}'
    )
    event = event_from_json(text)
    assert isinstance(event, UnknownEvent)
    assert (event.written_type, event.written_version) == ("gesture", 4)
    assert (event.conversation, event.sequence, event.frame, event.time_s) == ("c", 9, 2, 1.0)
    assert event.fields["hands"] == [1, {"left": None}]
    assert json.loads(event_to_json(event)) == json.loads(text)
    assert event_from_json(event_to_json(event)) == event


def test_an_unknown_version_of_a_known_type_is_unknown() -> None:
    event = event_from_json('{"type": "test-mood", "version": 1, "name": "calm"}')
    assert event == UnknownEvent.of("test-mood", 1, {"name": "calm"})


@pytest.mark.parametrize(
    "fields",
    [
        {"degrees": 20.0, "humidity": 0.5},
        {"wind": "strong"},
        {"degrees": "warm"},
    ],
    ids=["a field too many", "a field missing", "a value that does not fit"],
)
def test_fields_that_do_not_fit_their_type_are_kept_as_unknown(fields: dict[str, object]) -> None:
    text = json.dumps({"type": "test-weather", "version": 1, **fields})
    event = event_from_json(text)
    assert event == UnknownEvent.of("test-weather", 1, fields)
    assert json.loads(event_to_json(event)) == json.loads(text)


def test_a_field_with_a_default_may_be_missing() -> None:
    assert event_from_json('{"type": "test-weather", "version": 1, "degrees": 20.5}') == Weather(degrees=20.5)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "null", "{}", '{"type": "closed"}', '{"type": [], "version": 1}', '{"version": 1}']
)
def test_what_is_no_event_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"Expecting|not an event"):
        event_from_json(text)


def test_two_classes_of_one_type_and_version_are_refused() -> None:
    with pytest.raises(TypeError, match=r"'test-weather', version 1 is defined twice: by .*Weather and .*Impostor"):

        @attrs.frozen(kw_only=True)
        class Impostor(Event):
            type: ClassVar[str] = "test-weather"

    assert isinstance(event_from_json('{"type": "test-weather", "version": 1, "degrees": 1.0}'), Weather)


def test_a_subclass_that_names_no_type_leaves_its_parents_alone() -> None:
    @attrs.frozen(kw_only=True)
    class Storm(Weather):
        pass

    assert type(event_from_json(event_to_json(Storm(degrees=1.0)))) is Weather


def test_all_names_exactly_the_public_classes_and_functions() -> None:
    public = {name for name, item in vars(module).items() if getattr(item, "__module__", "") == module.__name__}
    assert {name for name in public if not name.startswith("_")} == set(module.__all__)
