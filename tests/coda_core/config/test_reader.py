"""Stacks from TOML files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from coda_core.config import Stack, read_stack, resolve
from coda_core.errors import ConfigError

if TYPE_CHECKING:
    from tests.coda_core.conftest import Kit, Site


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "desk.toml"


def read(kit: Kit, path: Path, text: str, *overrides: str, **environ: str) -> Stack:
    path.write_text(text, encoding="utf-8")
    stack, registry = read_stack(path, overrides=overrides, environ=environ, registry=kit.registry)
    assert registry is kit.registry
    return stack


def problems_of(kit: Kit, path: Path, text: str, *overrides: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read(kit, path, text, *overrides, **environ)
    assert raised.value.source == str(path)
    assert str(raised.value).startswith(f"{path}: ")
    return [str(problem) for problem in raised.value.problems]


FULL = """
[stack]
name = "front-desk"
inner_monologue_enabled = true

[audio_source]
use = "tone"
frequency_hz = 440

[processor]
use = "echo"
delay_frames = 4

[[monologue_extractor]]
use = "inner-monologue"
retention_seconds = 10

[[monologue_extractor]]
use = "phrases"

[streaming_manager]
use = "offline"

[state_manager]
use = "conversation"

[state_store]
use = "sqlite"
path = "state/x.db"

[[transport]]
use = "websocket"
port = 9000
token = "${CODA_TOKEN}"

[[transport]]
use = "file"
path = "~/reply.wav"
stereo_path = "/both.wav"
"""


def test_a_full_file_is_the_same_stack_as_one_from_python(
    kit: Kit, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    stack = read(kit, path, FULL, CODA_TOKEN="hush")
    assert stack == Stack(
        name="front-desk",
        audio_source=kit.tone(440.0),
        processor=kit.echo(4),
        monologue_extractor=[kit.words(10.0), kit.phrases()],
        streaming_manager=kit.fast(),
        state_manager=kit.manager(),
        state_store=kit.disk(path.parent / "state/x.db"),
        transport=[kit.socket(9000, "hush"), kit.folder(Path("/home/ada/reply.wav"), Path("/both.wav"))],
        base_dir=path.parent,
    )
    assert stack.source == str(path)
    assert "hush" not in repr(stack)
    resolved = resolve(stack, kit.registry)
    assert [(one.label, one.why) for one in resolved.all()] == [
        ("tone", "named in [audio_source]"),
        ("echo", "named in [processor]"),
        ("inner-monologue", "named in [[monologue_extractor]]"),
        ("phrases", "named in [[monologue_extractor]]"),
        ("offline", "named in [streaming_manager]"),
        ("conversation", "named in [state_manager]"),
        ("sqlite", "named in [state_store]"),
        ("websocket", "named in [[transport]]"),
        ("file", "named in [[transport]]"),
    ]
    assert resolved.state_store.config is stack.state_store


@pytest.mark.parametrize(
    ("text", "fallback"),
    [
        ('[processor]\nfallback = "echo"', lambda kit, _: kit.echo()),
        ('[processor]\nuse = "moshi"\nfallback = "${OTHER}"', lambda kit, _: kit.echo()),
        ('[processor.fallback]\nuse = "echo"\ndelay_frames = 3', lambda kit, _: kit.echo(3)),
        (
            '[processor]\nfallback = { use = "moshi", cache = "models" }',
            lambda kit, folder: kit.model(cache=folder / "models"),
        ),
    ],
)
def test_a_fallback_is_a_name_or_a_table(
    kit: Kit, path: Path, text: str, fallback: Callable[[Kit, Path], object]
) -> None:
    stack = read(kit, path, text, OTHER="echo")
    assert stack == Stack(processor=kit.model(), fallback=fallback(kit, path.parent), base_dir=path.parent)


def test_a_fallback_says_what_it_is(kit: Kit, path: Path) -> None:
    why = "fallback where the processor fails to load; named in [processor]"
    resolved = resolve(read(kit, path, '[processor]\nuse = "moshi"\nfallback = "echo"'), kit.registry)
    assert [(one.label, one.why) for one in resolved.all()][:2] == [("moshi", "named in [processor]"), ("echo", why)]
    resolved = resolve(read(kit, path, "", "processor.fallback.use=moshi"), kit.registry)
    assert [(one.label, one.why) for one in resolved.all()][:2] == [
        ("moshi", "default: [processor] names none"),
        ("moshi#2", why),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            'fallback = "ecko"',
            'processor.fallback: there is no processor called "ecko". Did you mean "echo"? '
            "Installed here: echo, moshi.",
        ),
        (
            "fallback = 3",
            "processor.fallback: found 3 (an integer); expected the name of a processor, or a table. "
            'Write fallback = "..."',
        ),
        (
            "fallback = { delay_frames = 3 }",
            "processor.fallback.use: is missing; expected the name of a processor. Installed here: echo, moshi.",
        ),
        (
            'fallback = { use = "echo", delay_frame = 3 }',
            'processor.fallback.delay_frame: the processor "echo" has no such setting. Did you mean "delay_frames"?',
        ),
        (
            'fallback = { use = "echo", delay_frames = "3" }',
            'processor.fallback.delay_frames: found "3" (a string); expected an integer, at least 0. '
            "Write it without quotes: 3.",
        ),
        (
            'fallback = { use = "echo", fallback = "moshi" }',
            'processor.fallback.fallback: the processor "echo" has no such setting. Known: delay_frames.',
        ),
        (
            'fallback = "${NOWHERE}"',
            "processor.fallback: the environment variable NOWHERE is not set. Set it, or write a value here.",
        ),
    ],
)
def test_what_a_fallback_may_not_be(kit: Kit, path: Path, text: str, problem: str) -> None:
    assert problems_of(kit, path, f"[processor]\n{text}") == [problem]


def test_a_fallback_is_checked_with_all_the_rest(kit: Kit, path: Path) -> None:
    text = '[processor]\nconversations = 0\nfallback = "ecko"\n[state_store]\nuse = "sqlit"'
    keys = [problem.partition(": ")[0] for problem in problems_of(kit, path, text, "processor.fallback=cho")]
    assert keys == ["processor.conversations", "processor.fallback (--set)", "state_store.use"]


def test_only_a_processor_has_a_fallback(kit: Kit, path: Path) -> None:
    assert problems_of(kit, path, '[state_store]\nuse = "sqlite"\nfallback = "memory"') == [
        'state_store.fallback: the state store "sqlite" has no such setting. Known: path.'
    ]


def test_an_empty_file_is_the_default_stack(kit: Kit, path: Path) -> None:
    assert read(kit, path, "") == Stack(base_dir=path.parent)


def test_a_table_that_names_no_component_is_the_defaults(kit: Kit, path: Path) -> None:
    text = """
[processor]
conversations = 3
[monologue_extractor]
retention_seconds = 5
[streaming_manager]
[state_store]
"""
    stack = read(kit, path, text)
    assert stack == Stack(
        processor=kit.model(conversations=3),
        monologue_extractor=[kit.words(5.0)],
        streaming_manager=kit.live(),
        state_store=kit.memory(),
        base_dir=path.parent,
    )
    assert [(one.label, one.why) for one in resolve(stack, kit.registry).all()] == [
        ("moshi", "default: [processor] names none"),
        ("inner-monologue", "default: [[monologue_extractor]] names none"),
        ("realtime", "default: [streaming_manager] names none"),
        ("conversation", "default: no [state_manager] table"),
        ("memory", "default: [state_store] names none"),
    ]
    assert read(kit, path, "[stack]\nstreaming_enabled = false\n[streaming_manager]\n").streaming_manager == kit.fast()


def test_a_single_table_stands_for_a_list_of_one(kit: Kit, path: Path) -> None:
    assert read(kit, path, '[transport]\nuse = "websocket"').transport == (kit.socket(),)
    assert read(kit, path, "monologue_extractor = []").monologue_extractor == ()


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(kit: Kit, path: Path) -> None:
    path.write_bytes(b'\xef\xbb\xbf[processor]\r\nuse = "echo"\r\n')
    stack, _ = read_stack(path, environ={}, registry=kit.registry)
    assert stack.processor == kit.echo()


def test_every_problem_of_a_file_is_reported_at_once(kit: Kit, path: Path) -> None:
    text = """
name = "desk"
[stack]
streaming_enabled = "no"
[procesor]
[zzz]
[processor]
use = "moshy"
[audio_source]
frequency = 1
[monologue_extractor]
use = "websocket"
[state_manager]
use = 3
[[state_store]]
[[transport]]
port = 3
[[transport]]
use = "websocket"
prt = 80
port = 70000
[[transport]]
use = "file"
[streaming_manager]
use = "${MANAGER}"
"""
    tables = (
        "Known: audio_source, monologue_extractor, processor, stack, state_manager, state_store, "
        "streaming_manager, transport."
    )
    assert problems_of(kit, path, text) == [
        'stack.streaming_enabled: found "no" (a string); expected true or false.',
        "name: stands outside of every table. Write it below [stack].",
        'procesor: there is no such table. Did you mean "processor"?',
        f"zzz: there is no such table. {tables}",
        'processor.use: there is no processor called "moshy". Did you mean "moshi"? Installed here: echo, moshi.',
        "audio_source.use: is missing; expected the name of an audio source. Installed here: tone.",
        'monologue_extractor.0.use: there is no monologue extractor called "websocket". '
        '"websocket" is a transport (table [transport]). Installed here: inner-monologue, phrases.',
        'state_manager.use: found 3 (an integer); expected a string. Write it in quotes: "3".',
        "state_store: found a list; a stack has one state store. Write [state_store].",
        "transport.0.use: is missing; expected the name of a transport. Installed here: file, websocket.",
        "transport.1.port: 70000 is too large; the largest value is 65535.",
        'transport.1.prt: the transport "websocket" has no such setting. Did you mean "port"?',
        "transport.2: no file is named; give path or stereo_path",
        "streaming_manager.use: the environment variable MANAGER is not set. Set it, or write a value here.",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            'processor = "echo"',
            'processor: found "echo" (a string); expected a table. Write [processor] and below it: use = "echo"',
        ),
        (
            "transport = [1]",
            'transport.0: found 1 (an integer); expected a table. Write [[transport]] and below it: use = "..."',
        ),
        ("stack = 1", "stack: found 1 (an integer); expected a table."),
        (
            '[[processor]]\nuse = "echo"\n[[processor]]\nuse = "echo"',
            "processor: found a list; a stack has one processor. Write [processor].",
        ),
    ],
)
def test_a_table_of_another_shape(kit: Kit, path: Path, text: str, problem: str) -> None:
    assert problems_of(kit, path, text) == [problem]


def test_problems_outside_of_the_file_are_reported_with_those_in_it(kit: Kit, path: Path) -> None:
    text = '[stack]\ndisabled_plugins = ["kit"]\n[[transport]]\nuse = "websocket"\nport = "80"\n'
    disabled = 'belongs to the plugin "kit" of coda-test 1.0, which this stack disables.'
    assert problems_of(kit, path, text) == [
        'transport.0.port: found "80" (a string); expected an integer from 1 to 65535. Write it without quotes: 80.',
        f'transport.0: "websocket" {disabled}',
        f'processor: "moshi" {disabled}',
        f'monologue_extractor: "inner-monologue" {disabled}',
        f'streaming_manager: "realtime" {disabled}',
        f'state_manager: "conversation" {disabled}',
        f'state_store: "memory" {disabled}',
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[processor]\nuse = \n", "line 2, column 7 is not TOML: Invalid value."),
        ("[processor\n", "line 1, column 11 is not TOML: Expected ']' at the end of a table declaration."),
        ('a = """x\n', "line 2, column 1 is not TOML: Unterminated string."),
        ("a = 1\na = 2\n", "line 2, column 6 is not TOML: Cannot overwrite a value."),
        (f"a = {'[' * 5000}", "this is not TOML that can be read: maximum recursion depth exceeded"),
        (f"a = {'1' * 5000}", "this is not TOML that can be read: Exceeds the limit"),
    ],
)
def test_toml_that_does_not_parse(kit: Kit, path: Path, text: str, message: str) -> None:
    (problem,) = problems_of(kit, path, text)
    assert problem.startswith(message)
    assert "\n" not in problem


def test_a_file_that_is_not_utf_8(kit: Kit, path: Path) -> None:
    path.write_bytes(b'[stack]\n# fine\nname = "\xff"\n')
    with pytest.raises(ConfigError) as raised:
        read_stack(path, registry=kit.registry)
    assert str(raised.value) == f"{path}: line 3 is not UTF-8 text; a stack is a TOML file. Save it as UTF-8."


def test_a_file_that_cannot_be_read(kit: Kit, path: Path) -> None:
    def message_for(where: Path) -> str:
        with pytest.raises(ConfigError) as raised:
            read_stack(where, registry=kit.registry)
        return str(raised.value)

    assert message_for(path) == f"{path}: there is no such file. `coda init` writes a stack to start from."
    assert message_for(path.parent) == f"{path.parent}: this is a folder; expected a TOML file."
    path.write_text("", encoding="utf-8")
    assert message_for(path / "x") == f"{path / 'x'}: the file cannot be read: Not a directory."
    assert message_for(Path("a\0b")).endswith("embedded null byte.")


def test_overrides_are_read_like_the_file(kit: Kit, path: Path) -> None:
    text = '[processor]\nuse = "echo"\n[transport]\nuse = "websocket"'
    stack = read(
        kit,
        path,
        text,
        "processor.delay_frames=7",
        "transport.0.port=${PORT}",
        "transport.1.use=file",
        "transport.1.path=out.wav",
        "state_store={ use = 'sqlite' }",
        PORT="81",
    )
    assert stack.processor == kit.echo(7)
    assert stack.transport == (kit.socket(81), kit.folder(path.parent / "out.wav"))
    assert stack.state_store == kit.disk()


def test_problems_of_overrides_say_where_they_come_from(kit: Kit, path: Path) -> None:
    text = '[processor]\nuse = "echo"\n[[transport]]\nuse = "websocket"'
    overrides = ("processor.delay_frames=-1", "transport.port=http", "procesor.x=1", "processor", "stack.name=7")
    assert problems_of(kit, path, text, *overrides) == [
        "--set processor: expected KEY=VALUE, as in processor.device=cpu.",
        'stack.name (--set): found 7 (an integer); expected a string. Write it in quotes: "7".',
        "processor.delay_frames (--set): -1 is too small; the smallest value is 0.",
        'transport.0.port (--set): found "http" (a string); expected an integer from 1 to 65535.',
        'procesor: there is no such table. Did you mean "processor"?',
    ]


def test_no_secret_is_printed(kit: Kit, path: Path) -> None:
    text = '[transport]\nuse = "websocket"\ntoken = ["hush"]\nport = "${PASSWORD}"\n[processor]\npin = "hush"\n'
    (_, *problems) = problems_of(kit, path, text, "processor.token=1${PASSWORD}${NONE}", PASSWORD="hush")
    assert len(problems) == 3
    assert not any("hush" in problem for problem in problems)


def test_relative_paths_are_those_of_the_file_and_not_of_the_working_folder(
    kit: Kit, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path.parent / "stacks").mkdir()
    path.parent.joinpath("stacks/x.toml").write_text('[state_store]\nuse = "sqlite"\n', encoding="utf-8")
    monkeypatch.chdir(path.parent)
    stack, registry = read_stack(Path("stacks/x.toml"), environ={}, registry=kit.registry)
    assert stack.base_dir == path.parent / "stacks"
    assert stack.source == "stacks/x.toml"
    assert resolve(stack, registry).state_store.config.path == path.parent / "stacks/conversations.db"


PLUGIN = """
from contextlib import nullcontext
import attrs
from coda_core.hookspecs import hookimpl
from coda_core.interfaces import Component
from coda_core.settings import setting

CODA_CONTRACT = 1

@attrs.frozen
class ParrotConfig:
    delay_frames: int = setting(2, help="Frames to wait.", minimum=0)

@hookimpl
def coda_register_processors():
    return [Component("parrot", "Says it again.", ParrotConfig, lambda config, context: nullcontext())]
"""


def test_a_third_partys_component_is_used_from_toml(site: Site, path: Path) -> None:
    site.install_plugin("parrot_plugin", PLUGIN, distribution="coda-parrot", version="3.2")
    path.write_text('[processor]\nuse = "parrot"\ndelay_frames = 5\n', encoding="utf-8")
    stack, registry = read_stack(path, environ={})
    registered = registry.get("processor", "parrot")
    assert registered.plugin.distribution == "coda-parrot"
    assert stack.processor == registered.component.config(5)


def test_plugins_that_the_file_disables_are_not_imported(site: Site, path: Path) -> None:
    site.install_plugin("bomb_plugin", "raise SystemExit('imported')", distribution="coda-bomb")
    site.install_plugin("fuse_plugin", "raise SystemExit('imported')", distribution="coda-fuse")
    site.install_plugin("parrot_plugin", PLUGIN, distribution="coda-parrot")
    path.write_text('[stack]\ndisabled_plugins = ["bomb_plugin"]\n[processor]\nuse = "parrot"', encoding="utf-8")
    _, registry = read_stack(path, environ={"CODA_DISABLED_PLUGINS": "fuse_plugin"})
    assert registry.disabled == ("bomb_plugin", "fuse_plugin")
    assert registry.broken == ()


def test_a_broken_plugin_is_fatal_only_to_a_stack_that_uses_it(site: Site, path: Path) -> None:
    site.install_plugin("parrot_plugin", PLUGIN, distribution="coda-parrot")
    site.install_plugin("crow_plugin", "import nobody_has_this", distribution="coda-crow", version="0.3")
    path.write_text('[processor]\nuse = "parrot"', encoding="utf-8")
    _, registry = read_stack(path, environ={})
    assert [plugin.name for plugin in registry.broken] == ["crow_plugin"]
    path.write_text('[processor]\nuse = "crow"', encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        read_stack(path, environ={})
    first: Any = raised.value.problems[0]
    assert str(first) == (
        'processor.use: there is no processor called "crow". Installed here: parrot. '
        'Plugin "crow_plugin" of coda-crow 0.3 could not be loaded: '
        "it cannot be imported: ModuleNotFoundError: No module named 'nobody_has_this'."
    )


def test_a_device_or_a_huge_file_is_not_read_to_its_end() -> None:
    with pytest.raises(ConfigError, match="holds more than 4,000,000 bytes"):
        read_stack(Path("/dev/zero"))
