"""Stacks made in Python: defaults, labels, reasons, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from coda_core.config import Stack, resolve
from coda_core.config.stack import StackSettings, default_name
from coda_core.errors import ConfigError
from coda_core.interfaces import KINDS, Requires
from coda_core.plugins import load_plugins
from coda_core.plugins.registry import Registry

if TYPE_CHECKING:
    from tests.coda_core.conftest import Kit


def chosen(kit: Kit, stack: Stack) -> list[tuple[str, str, str]]:
    return [(one.registered.kind, one.label, one.why) for one in resolve(stack, kit.registry).all()]


def problems_of(stack: Stack, registry: Registry) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        resolve(stack, registry)
    return [str(problem) for problem in raised.value.problems]


def test_an_empty_stack_gets_the_defaults(kit: Kit) -> None:
    stack = resolve(Stack(), kit.registry)
    assert chosen(kit, Stack()) == [
        ("processor", "moshi", "default: no [processor] table"),
        ("monologue_extractor", "inner-monologue", "default: no [monologue_extractor] table"),
        ("streaming_manager", "realtime", "default: no [streaming_manager] table"),
        ("state_manager", "conversation", "default: no [state_manager] table"),
        ("state_store", "memory", "default: no [state_store] table"),
    ]
    assert (stack.name, stack.base_dir, stack.audio_source, stack.transports) == ("coda", Path.cwd(), None, ())
    assert stack.processor.config == kit.model()


def test_a_full_stack(kit: Kit) -> None:
    echo = kit.echo(5)
    stack = Stack(
        name="desk",
        audio_source=kit.tone(440.0),
        processor=echo,
        monologue_extractor=[kit.phrases(), kit.words(), kit.phrases()],
        streaming_manager=kit.live(7),
        state_store=kit.memory(),
        transport=[kit.socket(1), kit.socket(2), kit.folder(path=Path("/x")), kit.socket(3)],
    )
    assert [(label, why) for _, label, why in chosen(kit, stack)] == [
        ("tone", "given to Stack"),
        ("echo", "given to Stack"),
        ("phrases", "given to Stack"),
        ("inner-monologue", "given to Stack"),
        ("phrases#2", "given to Stack"),
        ("realtime", "given to Stack"),
        ("conversation", "default: no [state_manager] table"),
        ("memory", "given to Stack"),
        ("websocket", "given to Stack"),
        ("websocket#2", "given to Stack"),
        ("file", "given to Stack"),
        ("websocket#3", "given to Stack"),
    ]
    assert resolve(stack, kit.registry).processor.config is echo


def test_switches_change_the_defaults(kit: Kit) -> None:
    stack = Stack(inner_monologue_enabled=False, streaming_enabled=False)
    assert [(label, why) for _, label, why in chosen(kit, stack)][1:2] == [
        ("offline", "default: streaming_enabled = false")
    ]
    assert resolve(stack, kit.registry).monologue_extractors == ()
    with_phrases = Stack(inner_monologue_enabled=False, monologue_extractor=(kit.phrases(),))
    assert [one.label for one in resolve(with_phrases, kit.registry).monologue_extractors] == ["phrases"]
    assert resolve(Stack(monologue_extractor=()), kit.registry).monologue_extractors == ()


def test_switches_that_contradict_a_component(kit: Kit) -> None:
    stack = Stack(
        streaming_enabled=False,
        streaming_manager=kit.live(),
        inner_monologue_enabled=False,
        monologue_extractor=(kit.words(),),
    )
    assert problems_of(stack, kit.registry) == [
        'stack.inner_monologue_enabled: is false; the stack names the extractor "inner-monologue". '
        "Remove one of the two.",
        'stack.streaming_enabled: is false, which asks for the streaming manager "offline"; '
        'the stack names "realtime". Remove one of the two.',
    ]


def test_relative_paths_lie_below_the_stacks_folder(kit: Kit) -> None:
    stack = Stack(
        base_dir=Path("/stacks"), state_store=kit.disk(), transport=(kit.folder(Path("a.wav"), Path("/b.wav")),)
    )
    resolved = resolve(stack, kit.registry)
    assert resolved.state_store.config.path == Path("/stacks/conversations.db")
    assert resolved.transports[0].config == kit.folder(Path("/stacks/a.wav"), Path("/b.wav"))


def test_the_folder_is_fixed_when_the_stack_is_made(kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stack, below = Stack(state_store=kit.disk()), Stack(state_store=kit.disk(), base_dir="below")
    monkeypatch.chdir("/")
    assert resolve(stack, kit.registry).state_store.config.path == tmp_path / "conversations.db"
    assert resolve(below, kit.registry).state_store.config.path == tmp_path / "below/conversations.db"


def test_everything_that_is_wrong_is_reported_at_once(kit: Kit) -> None:
    tone: dict[str, Any] = {"frequency_hz": "high"}
    socket: dict[str, Any] = {"port": "80"}
    own: dict[str, Any] = {"name": 3, "streaming_enabled": "false"}
    stack = Stack(
        audio_source=kit.tone(**tone),
        processor=kit.model,
        state_store=kit.socket(),
        state_manager=object(),
        monologue_extractor=kit.words(),
        transport=(kit.socket(**socket), None),
        **own,
    )
    assert problems_of(stack, kit.registry) == [
        'stack.name: found 3 (an integer); expected a string. Write it in quotes: "3".',
        'stack.streaming_enabled: found "false" (a string); expected true or false. Write it without quotes: false.',
        'audio_source.frequency_hz: found "high" (a string); expected a number, at least 20.',
        "processor: ModelConfig is a class; expected an instance, as in ModelConfig(...). "
        "Known here: EchoConfig (echo), ModelConfig (moshi).",
        "monologue_extractor: found a WordsConfig; expected a list of configs. Write monologue_extractor=[...].",
        "state_manager: an object is not the config of a state manager. Known here: ManagerConfig (conversation).",
        'state_store: a SocketConfig is not the config of a state store. It is that of the transport "websocket". '
        "Known here: DiskConfig (sqlite), MemoryConfig (memory).",
        'transport.0.port: found "80" (a string); expected an integer from 1 to 65535. Write it without quotes: 80.',
        "transport.1: nothing is not the config of a transport. "
        "Known here: FolderConfig (file), SocketConfig (websocket).",
    ]


def test_a_default_that_is_not_installed() -> None:
    problems = problems_of(Stack(inner_monologue_enabled=False), Registry(disabled=("coda_moshi",)))
    assert problems[0] == (
        "processor: the stack names none, and its default is missing: "
        'there is no processor called "moshi". Installed here: none. Disabled plugins: coda_moshi.'
    )
    assert [problem.partition(":")[0] for problem in problems] == [
        "processor",
        "streaming_manager",
        "state_manager",
        "state_store",
    ]


def _with_processors(kit: Kit, *components: Any) -> Registry:
    """Return the kit's registry with other processors for moshi and echo."""
    other = kit.registry_of(kit.plugin_of("heavy", {"processor": components}))
    rest = tuple(one for one in kit.registry.registered if one.kind != "processor")
    return Registry(plugins=(*kit.registry.plugins, *other.plugins), registered=(*rest, *other.registered))


def test_a_component_whose_extra_is_missing(kit: Kit) -> None:
    component = kit.component("moshi", kit.echo, Requires(("nobody_has_this",), "coda-core[moshi]"))
    message = (
        'processor: the processor "moshi" needs the package nobody_has_this, which is not installed. '
        "Run: pip install 'coda-core[moshi]'"
    )
    registry = _with_processors(kit, component)
    assert problems_of(Stack(), registry) == [message]
    wrong: dict[str, Any] = {"delay_frames": "2"}
    assert problems_of(Stack(processor=kit.echo(**wrong)), registry) == [
        message,
        'processor.delay_frames: found "2" (a string); expected an integer, at least 0. Write it without quotes: 2.',
    ]


def test_a_fallback_for_a_processor_whose_extra_is_missing(kit: Kit) -> None:
    heavy = kit.component("moshi", kit.model, Requires(("nobody_has_this",), "coda-core[moshi]"))
    light = kit.component("echo", kit.echo)
    registry = _with_processors(kit, heavy, light)
    needs = (
        'the processor "moshi" needs the package nobody_has_this, which is not installed. '
        "Run: pip install 'coda-core[moshi]'"
    )
    resolved = resolve(Stack(fallback=kit.echo(3)), registry)
    assert resolved.fallback is not None
    assert resolved.processor.why == (
        f"default: no [processor] table; cannot be used here, so its fallback takes its place: {needs}"
    )
    assert resolved.fallback.config == kit.echo(3)
    assert resolved.fallback.why == "fallback where the processor fails to load; given to Stack"
    assert [one.label for one in resolved.all()][:2] == ["moshi", "echo"]
    assert problems_of(Stack(processor=kit.echo(), fallback=kit.model()), registry) == [f"processor.fallback: {needs}"]


def test_a_fallback_on_another_shared_thread(kit: Kit) -> None:
    one = attrs.evolve(kit.component("moshi", kit.model), worker="gpu")
    two = attrs.evolve(kit.component("echo", kit.echo), worker="speaker")
    registry = _with_processors(kit, one, two)
    assert problems_of(Stack(fallback=kit.echo()), registry) == [
        'processor.fallback: the processor "echo" runs on the worker "speaker" and "moshi" on "gpu", '
        "and a stack has one worker. Name another fallback."
    ]
    assert resolve(Stack(fallback=kit.model(device="cpu")), registry).fallback is not None


def test_what_is_no_fallback(kit: Kit) -> None:
    assert problems_of(Stack(fallback="echo"), kit.registry) == [
        "processor.fallback: a string is not the config of a processor. "
        "Known here: EchoConfig (echo), ModelConfig (moshi)."
    ]


def test_a_default_with_a_required_setting(kit: Kit) -> None:
    registry = _with_processors(kit, kit.component("moshi", kit.tone))
    assert problems_of(Stack(), registry) == [
        "processor.frequency_hz: is missing; expected a number, at least 20: Pitch in Hz."
    ]


def test_a_component_of_a_plugin_that_the_stack_disables(kit: Kit) -> None:
    stack = Stack(disabled_plugins=("kit",), inner_monologue_enabled=False)
    problems = problems_of(stack, kit.registry)
    assert problems[0] == (
        'processor: "moshi" belongs to the plugin "kit" of coda-test 1.0, which this stack disables.'
    )
    assert len(problems) == 4


def test_every_default_is_among_the_plugins_that_ship() -> None:
    registry = load_plugins(environ={})
    for streaming in (True, False):
        names = {kind: default_name(kind, StackSettings(streaming_enabled=streaming)) for kind in KINDS}
        assert [kind for kind, name in names.items() if name is None] == ["audio_source", "transport"]
        found = [registry.get(kind, name) for kind, name in names.items() if name is not None]
        assert {one.plugin.distribution for one in found} == {"coda-core"}
