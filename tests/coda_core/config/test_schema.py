"""The schema of a stack agrees with the reader of stacks."""

from __future__ import annotations

import json
import math
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import attrs
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from coda_core.config import read_stack
from coda_core.config.schema import settings_of, stack_schema
from coda_core.config.stack import SEVERAL, StackSettings
from coda_core.errors import ConfigError
from coda_core.fields import fields_of
from coda_core.interfaces import KINDS, Kind
from coda_core.plugins import load_plugins
from coda_core.plugins.registry import Registered, Registry
from coda_core.settings import setting

if TYPE_CHECKING:
    from tests.coda_core.conftest import Kit


def is_valid(registry: Registry, document: object) -> bool:
    return bool(Draft202012Validator(stack_schema(registry)).is_valid(document))


def test_the_schema_is_a_schema(kit: Kit) -> None:
    for registry in (kit.registry, Registry()):
        schema = stack_schema(registry)
        Draft202012Validator.check_schema(schema)
        assert json.loads(json.dumps(schema, allow_nan=False)) == schema
        assert list(schema["properties"]) == ["stack", *KINDS]


def test_what_a_setting_says_of_itself(kit: Kit) -> None:
    schema = stack_schema(kit.registry)
    model = schema["$defs"]["processor.moshi"]
    variable = {"$ref": "#/$defs/variable"}
    interpolated = {"$ref": "#/$defs/interpolated"}
    assert (model["title"], model["description"]) == ("processor moshi", "The component moshi.")
    assert (model["additionalProperties"], model["required"]) == (False, [])
    properties = model["properties"]
    assert properties["use"] == {
        "description": "Name of the component.",
        "anyOf": [{"const": "moshi"}, interpolated],
    }
    assert properties["model_path"] == {"description": "Repository or folder.", "default": "tiny", "type": "string"}
    assert properties["device"] == {
        "description": "Where it runs.",
        "default": "auto",
        "anyOf": [{"enum": ["auto", "cpu", "cuda"]}, interpolated],
    }
    assert properties["conversations"] == {
        "description": "How many at once.",
        "default": 1,
        "anyOf": [{"type": "integer", "minimum": 1, "maximum": 64}, variable],
    }
    assert properties["greedy"] == {
        "description": "Take the likeliest token.",
        "default": False,
        "anyOf": [{"type": "boolean"}, variable],
    }
    assert properties["revision"] == {
        "description": "a commit, 4 to 40 hexadecimal digits",
        "anyOf": [{"type": "string", "pattern": "^(?:[0-9a-f]{4,40})$"}, interpolated],
    }
    assert properties["layers"] == {
        "description": "Which layers.",
        "default": [],
        "type": "array",
        "items": {"anyOf": [{"type": "integer", "minimum": 0}, variable]},
    }
    assert properties["token"] == {"description": "Password of the hub.", "writeOnly": True, "type": "string"}
    assert properties["first_adapter"]["required"] == ["path"]
    assert schema["$defs"]["state_store.sqlite"]["properties"]["path"]["default"] == "conversations.db"
    assert schema["$defs"]["state_store.sqlite"]["required"] == ["use"]
    assert schema["$defs"]["audio_source.tone"]["required"] == ["use", "frequency_hz"]
    assert schema["$defs"]["streaming_manager.offline"]["required"] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        '[stack]\nname = "x"\ndisabled_plugins = ["a"]\nstreaming_enabled = "${STREAMING}"',
        "[processor]\nconversations = 3",
        '[processor]\nuse = "echo"\ndelay_frames = "${DELAY}"',
        '[processor]\nuse = "${PROCESSOR}"\ndelay_frames = 3',
        '[processor]\nfallback = "echo"',
        '[processor]\nfallback = "${FALLBACK}"',
        '[processor]\nuse = "moshi"\n[processor.fallback]\nuse = "echo"\ndelay_frames = 3',
        '[processor]\nfallback = { use = "moshi", device = "cpu" }',
        '[processor]\ndevice = "${DEVICE}"\nrevision = "v${REVISION}"\ntemperature = 1\nadapters = [{ path = "x" }]',
        "[monologue_extractor]\nretention_seconds = 3.5",
        "monologue_extractor = []",
        '[[monologue_extractor]]\n[[monologue_extractor]]\nuse = "phrases"',
        '[streaming_manager]\nuse = "offline"',
        '[transport]\nuse = "websocket"\ntoken = "x"',
        '[[transport]]\nuse = "websocket"\nport = 1\n[[transport]]\nuse = "file"\npath = "x"',
    ],
)
def test_valid_stacks(kit: Kit, text: str) -> None:
    assert is_valid(kit.registry, tomllib.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        "name = 'x'",
        "[procesor]",
        "[stack]\nname = 3",
        "[stack]\nnames = 'x'",
        "[processor]\nuse = 'moshy'",
        "[processor]\nuse = 'echo'\nconversations = 3",
        "[processor]\nconversations = '3'",
        "[processor]\nconversations = 0",
        "[processor]\nconversations = 65",
        "[processor]\nconversations = 1.5",
        "[processor]\nconversations = '1${COUNT}'",
        "[processor]\ngreedy = 1",
        "[processor]\ndevice = 'gpu'",
        "[processor]\nrevision = 'main'",
        "[processor]\nlayers = 1",
        "[processor]\nlayers = [-1]",
        "[processor]\nadapters = [{ scale = 1.0 }]",
        "[[processor]]",
        "[processor]\nfallback = 3",
        "[processor]\nfallback = 'tone'",
        "[processor.fallback]\ndevice = 'cpu'",
        "[processor.fallback]\nuse = 'echo'\nconversations = 3",
        "[processor.fallback]\nuse = 'echo'\nfallback = 'moshi'",
        "[state_store]\nuse = 'sqlite'\nfallback = 'memory'",
        "[transport]",
        "[[transport]]\nport = 1",
        "[audio_source]\nuse = 'tone'",
        "[state_store]\npath = 'x.db'",
        "transport = 'websocket'",
    ],
)
def test_invalid_stacks(kit: Kit, text: str) -> None:
    assert not is_valid(kit.registry, tomllib.loads(text))


def test_nothing_is_right_where_nothing_is_installed() -> None:
    assert is_valid(Registry(), {"stack": {}})
    assert is_valid(Registry(), {"transport": []})
    assert not is_valid(Registry(), {"processor": {}})


def test_a_name_in_conflict_is_left_out(kit: Kit) -> None:
    one = kit.plugin_of(
        "one", {"processor": [kit.component("a", kit.echo)], "transport": [kit.component("a", kit.memory)]}
    )
    two = kit.plugin_of("two", {"processor": [kit.component("a", kit.words), kit.component("b", kit.live)]})
    registry = kit.registry_of(one, two)
    components = [name for name in stack_schema(registry)["$defs"] if "." in name]
    assert components == ["processor.b", "transport.a", "fallback.b"]
    assert not is_valid(registry, {"processor": {"use": "a"}})
    assert is_valid(registry, {"transport": [{"use": "a"}]})


def _toml(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case float() if not math.isfinite(value):
            return str(value)
        case dict():
            return "{" + ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
        case list():
            return "[" + ", ".join(_toml(inner) for inner in value) + "]"
        case _:
            return json.dumps(value)


WORDS = st.sampled_from(["a", "cpu", "abcd", "${N}", "${WORD}", "x${WORD}", "$${WORD}"])
NUMBERS = st.integers(1, 70) | st.floats(0, 2) | st.sampled_from(["${N}", "${HALF}"])
ODD = WORDS | NUMBERS | st.booleans() | st.just(math.nan) | st.integers(-2, 0) | st.sampled_from(["${NONE}", "${"])


def _value(type_: Any) -> st.SearchStrategy[Any]:
    """Mostly values of a setting's type, one in ten of any."""
    if get_origin(type_) is Literal:
        fitting: st.SearchStrategy[Any] = st.sampled_from([*get_args(type_), "${WORD}", "${N}"])
    elif get_origin(type_) is tuple:
        fitting = st.lists(_value(get_args(type_)[0]), max_size=2)
    elif attrs.has(type_):
        fitting = st.fixed_dictionaries({}, optional={field.name: _value(field.type) for field in fields_of(type_)})
    else:
        fitting = {bool: st.booleans() | st.just("${YES}"), int: NUMBERS, float: NUMBERS}.get(type_, WORDS)
    return st.integers(0, 9).flatmap(lambda dice: ODD if dice == 0 else fitting)


def _tables(registry: Registry, kind: Kind, *, with_fallback: bool) -> st.SearchStrategy[dict[str, Any]]:
    def table(one: Registered) -> st.SearchStrategy[dict[str, Any]]:
        use = st.sampled_from([one.component.name] * 6 + ["${ECHO}", "other"])
        settings_of_it = {field.name: _value(field.type) for field in fields_of(one.component.config)}
        if with_fallback:
            named = _tables(registry, kind, with_fallback=False)
            settings_of_it["fallback"] = st.sampled_from(["echo", "${ECHO}", "other"]) | named
        some = st.sets(st.sampled_from([*settings_of_it, "odd"]), max_size=3) if settings_of_it else st.just(set())
        return some.flatmap(
            lambda names: st.fixed_dictionaries(
                {name: settings_of_it.get(name, ODD) for name in names}, optional={"use": use}
            )
        )

    return st.sampled_from(registry.components(kind)).flatmap(table)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_stack_that_can_be_read_is_valid(kit: Kit, tmp_path: Path, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    tables = _tables(kit.registry, kind, with_fallback=kind == "processor")
    several = kind in SEVERAL and data.draw(st.booleans())
    document = {
        "stack": data.draw(_value(StackSettings)),
        kind: data.draw(st.lists(tables, max_size=2) if several else tables),
    }
    path = tmp_path / "stack.toml"
    path.write_text("\n".join(f"{name} = {_toml(value)}" for name, value in document.items()), encoding="utf-8")
    environ = {"N": "3", "HALF": "0.5", "YES": "true", "WORD": "cpu", "ECHO": "echo"}
    try:
        read_stack(path, environ=environ, registry=kit.registry)
    except ConfigError:
        event("refused")
        return
    event("read")
    assert is_valid(kit.registry, tomllib.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("kind", KINDS)
def test_settings_as_they_are_shown_can_be_read_and_are_valid(kit: Kit, kind: Kind, tmp_path: Path) -> None:
    for registry in (kit.registry, load_plugins(environ={})):
        _shown_can_be_read(registry, kind, tmp_path / "stack.toml")


def _shown_can_be_read(registry: Registry, kind: Kind, path: Path) -> None:
    given: dict[str, dict[str, Any]] = {"tone": {"frequency_hz": 440.0}, "file": {"path": Path("x.wav")}}
    for one in registry.components(kind):
        name = one.component.name
        config = one.component.config(**given.get(name, {}))
        shown = {key: value for key, value in settings_of(config).items() if value is not None}
        document: dict[str, Any] = {kind: {"use": name, **shown}}
        path.write_text("\n".join(f"{key} = {_toml(value)}" for key, value in document.items()), encoding="utf-8")
        read_stack(path, environ={}, registry=registry)
        assert is_valid(registry, document)


@attrs.frozen
class Vault:
    code: int = setting(1234, help="x", secret=True)
    empty: str | None = setting(None, help="x", secret=True)
    forever_s: float = setting(math.inf, help="x")


@attrs.frozen
class House:
    path: Path = setting(Path("a/b"), help="x")
    vaults: tuple[Vault, ...] = setting((Vault(),), help="x")
    names: tuple[str, ...] = setting(("a",), help="x")
    first: Vault | None = setting(None, help="x")


def test_the_settings_of_a_config_as_json() -> None:
    shown = settings_of(House(first=Vault(code=99)))
    assert shown == {
        "path": "a/b",
        "vaults": [{"code": "***", "empty": None, "forever_s": "inf"}],
        "names": ["a"],
        "first": {"code": "***", "empty": None, "forever_s": "inf"},
    }
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown


def test_the_default_of_a_secret_is_not_told(kit: Kit) -> None:
    registry = kit.registry_of(kit.plugin_of("one", {"processor": [kit.component("a", House)]}))
    assert "1234" not in json.dumps(stack_schema(registry))
