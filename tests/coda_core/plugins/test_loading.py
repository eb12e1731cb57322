"""Discovery: real distributions in a folder on the path, found through their metadata."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from coda_core.errors import ComponentConflict, UnknownComponent
from coda_core.plugins import Conflict, Plugin, Registry, load_plugins

if TYPE_CHECKING:
    from tests.coda_core.conftest import Kit, Site

ECHO = """
from contextlib import nullcontext

import attrs

from coda_core.hookspecs import hookimpl
from coda_core.interfaces import Component
from coda_core.settings import setting

CODA_CONTRACT = 1


@attrs.frozen
class EchoConfig:
    delay_frames: int = setting(2, help="Frames to wait.")


@hookimpl
def coda_register_processors():
    return [Component("NAME", "Says it again.", EchoConfig, lambda config, context: nullcontext())]
"""


def echo(name: str) -> str:
    return ECHO.replace("NAME", name)


def broken(registry: Registry) -> list[tuple[str, str, str, str]]:
    return [(one.name, one.distribution, one.version, one.reason) for one in registry.broken]


def test_a_third_partys_distribution_is_found(site: Site) -> None:
    site.install_plugin("parrot", echo("parrot"), distribution="coda-parrot", version="2.3")
    registry = load_plugins()
    plugin = Plugin("parrot", "coda-parrot", "2.3", (("processor", "parrot"),))
    assert registry.plugins == (plugin,)
    assert (registry.broken, registry.disabled, registry.conflicts) == ((), (), ())
    registered = registry.get("processor", "parrot")
    assert (registered.kind, registered.plugin) == ("processor", plugin)
    assert registry.components("processor") == (registered,)
    assert registry.components("transport") == ()
    assert registry.for_config("processor", registered.component.config()) is registered


def test_nothing_installed(site: Site) -> None:
    site.install("unrelated", "1", "[console_scripts]\nrun = coda:main\n", {})
    registry = load_plugins()
    assert (registry.plugins, registry.broken, registry.registered) == ((), (), ())


def test_a_broken_plugin_is_reported_and_the_others_go_on(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.install_plugin("aaa", "import module_that_nobody_has\n", distribution="coda-a", version="0.1")
    site.install_plugin("bbb", "raise SystemExit('no licence')\n", distribution="coda-b")
    site.install_plugin("ccc", "def half(:\n", distribution="coda-c")
    site.install_plugin("ddd", "CODA_CONTRACT = 99\n", distribution="coda-d")
    site.install("coda-e", "1.0", "[coda]\neee = nowhere.at_all\n", {})
    site.install("coda-f", "1.0", "[coda]\nfff\n", {})
    site.install_plugin("parrot", echo("parrot"), distribution="coda-parrot")
    with caplog.at_level(logging.WARNING):
        registry = load_plugins()
    assert [plugin.name for plugin in registry.plugins] == ["parrot"]
    reasons = {name: (distribution, reason) for name, distribution, _, reason in broken(registry)}
    assert list(reasons) == ["aaa", "bbb", "ccc", "coda-f", "ddd", "eee"]
    assert reasons["aaa"] == (
        "coda-a",
        "it cannot be imported: ModuleNotFoundError: No module named 'module_that_nobody_has'",
    )
    assert reasons["bbb"] == ("coda-b", "it cannot be imported: SystemExit: no licence")
    assert reasons["ccc"][1].startswith("it cannot be imported: SyntaxError: ")
    assert reasons["coda-f"][1].startswith("its entry_points.txt cannot be read (")
    assert reasons["ddd"][1].startswith("it was written for contract 99 ")
    assert reasons["eee"][1] == "it cannot be imported: ModuleNotFoundError: No module named 'nowhere'"
    assert all("\n" not in reason for _, reason in reasons.values())
    assert [record.getMessage() for record in caplog.records] == [
        f"plugin {one} is left out: {one.reason}" for one in registry.broken
    ]
    assert str(registry.broken[0]) == '"aaa" of coda-a 0.1'


def test_a_broken_plugin_is_named_where_something_is_missing(site: Site) -> None:
    site.install_plugin("aaa", "raise ValueError('x')\n", distribution="coda-a", version="0.1")
    site.install_plugin("parrot", echo("parrot"), distribution="coda-parrot")
    site.install_plugin("quiet", echo("quiet"), distribution="coda-quiet")
    with pytest.raises(UnknownComponent) as raised:
        load_plugins(disabled=["quiet"]).get("processor", "quiet")
    assert str(raised.value) == (
        'there is no processor called "quiet". Installed here: parrot. '
        'Plugin "aaa" of coda-a 0.1 could not be loaded: it cannot be imported: ValueError: x. '
        "Disabled plugins: quiet."
    )


def test_two_entry_points_of_one_name(site: Site) -> None:
    site.install("coda-one", "1.0", "[coda]\nparrot = parrot_one\n", {"parrot_one.py": echo("one")})
    site.install("coda-two", "2.0", "[coda]\nparrot = parrot_two\n", {"parrot_two.py": echo("two")})
    registry = load_plugins()
    reason = (
        'its name "parrot" is used by coda-one 1.0 and coda-two 2.0, so none of them is loaded; '
        "uninstall or disable all but one"
    )
    assert broken(registry) == [("parrot", "coda-one", "1.0", reason), ("parrot", "coda-two", "2.0", reason)]
    assert registry.registered == ()
    assert not {"parrot_one", "parrot_two"} & set(sys.modules)
    assert load_plugins(disabled=["parrot"]).broken == ()


def test_two_components_of_one_name_are_fatal_only_where_they_are_used(site: Site) -> None:
    site.install_plugin("one", echo("parrot"), distribution="coda-one", version="1.0")
    site.install_plugin("two", echo("parrot"), distribution="coda-two", version="2.0")
    site.install_plugin("three", echo("crow"), distribution="coda-three")
    registry = load_plugins()
    one, _, two = registry.plugins
    assert registry.conflicts == (Conflict("processor", "parrot", (one, two)),)
    assert registry.get("processor", "crow").plugin.name == "three"
    with pytest.raises(ComponentConflict) as raised:
        registry.get("processor", "parrot")
    assert str(raised.value) == (
        'several plugins offer a processor called "parrot": "one" of coda-one 1.0 and "two" of coda-two 2.0. '
        'Disable all but one of them, as in disabled_plugins = ["two"] under [stack].'
    )
    assert load_plugins(disabled=["two"]).get("processor", "parrot").plugin == one


def test_plugins_are_disabled_by_name(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two", "three"):
        site.install_plugin(name, echo(name), distribution=f"coda-{name}")
    monkeypatch.setenv("CODA_DISABLED_PLUGINS", " two , ,")
    registry = load_plugins(disabled=("three",))
    assert [plugin.name for plugin in registry.plugins] == ["one"]
    assert registry.disabled == ("three", "two")
    assert not {"two", "three"} & set(sys.modules)
    assert [plugin.name for plugin in load_plugins(environ={}).plugins] == ["one", "three", "two"]


def test_disabling_a_plugin_that_is_not_there_is_said(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.install_plugin("parrot", echo("parrot"), distribution="coda-parrot")
    registry = load_plugins(disabled=["parot"])
    assert registry.disabled == ()
    (record,) = caplog.records
    assert record.getMessage() == (
        'plugin "parot" is to be disabled, and none of that name is installed. Did you mean "parrot"?'
    )


def test_the_first_of_a_distribution_found_twice_counts(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install_plugin("parrot", echo("new"), distribution="coda-parrot", version="2.0")
    older = type(site)(site.folder / "older")
    older.folder.mkdir()
    older.install_plugin("parrot", echo("old"), distribution="Coda-Parrot", version="1.0")
    monkeypatch.setattr(sys, "path", [*sys.path, str(older.folder)])
    registry = load_plugins()
    assert [(plugin.name, plugin.version) for plugin in registry.plugins] == [("parrot", "2.0")]
    assert registry.broken == ()


def test_a_distribution_without_metadata(site: Site) -> None:
    info = site.folder / "coda_bare-1.0.dist-info"
    info.mkdir()
    info.joinpath("entry_points.txt").write_text("[coda]\nparrot = parrot\n", encoding="utf-8")
    site.folder.joinpath("parrot.py").write_text(echo("parrot"), encoding="utf-8")
    (plugin,) = load_plugins().plugins
    assert (plugin.distribution, plugin.version) == ("a distribution without a name", "")


def test_the_order_is_that_of_the_names(site: Site) -> None:
    for name in ("zebra", "ant", "moth"):
        site.install_plugin(name, echo(f"{name}-echo"), distribution=f"coda-x{name[::-1]}")
    registry = load_plugins()
    assert [plugin.name for plugin in registry.plugins] == ["ant", "moth", "zebra"]
    assert [one.component.name for one in registry.components("processor")] == ["ant-echo", "moth-echo", "zebra-echo"]


def test_modules_handed_over(site: Site, kit: Kit) -> None:
    site.install_plugin("parrot", echo("parrot"), distribution="coda-parrot")
    module = kit.plugin_of("mine", {"processor": [kit.component("mine", kit.echo)]})
    clash = kit.plugin_of("clash", {"processor": [kit.component("clash", kit.echo)]})
    registry = load_plugins(modules=[("mine", module), ("parrot", clash)])
    assert registry.plugins == (Plugin("mine", "(in process)", "", (("processor", "mine"),)),)
    assert str(registry.plugins[0]) == '"mine" of (in process)'
    reason = (
        'its name "parrot" is used by (in process) and coda-parrot 1.0, so none of them is loaded; '
        "uninstall or disable all but one"
    )
    assert broken(registry) == [
        ("parrot", "(in process)", "", reason),
        ("parrot", "coda-parrot", "1.0", reason),
    ]


def test_the_defaults_come_through_the_same_door_and_import_nothing_heavy() -> None:
    program = """
import sys
import coda_core.config
assert not any(name.startswith("coda_") and not name.startswith("coda_core") for name in sys.modules)
from coda_core.plugins import load_plugins
registry = load_plugins(environ={})
assert registry.broken == (), [str(one) + one.reason for one in registry.broken]
models = {"torch", "moshi", "sentencepiece", "safetensors", "huggingface_hub"}
audio = {"sounddevice", "soundfile", "soxr"}
for_a_running_kernel = {"numpy", "cattrs", "asyncio", "sqlite3"}
print(sorted((models | audio | for_a_running_kernel) & set(sys.modules)))
print(sorted((plugin.name, plugin.distribution) for plugin in registry.plugins if plugin.distribution == "coda-core"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    heavy, defaults = done.stdout.splitlines()
    assert heavy == "[]"
    assert defaults == repr(
        [(f"coda_{name}", "coda-core") for name in ("audio", "moshi", "state", "streaming", "websocket")]
    )
