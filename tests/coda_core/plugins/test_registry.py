from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from coda_core.errors import ComponentConflict, MissingExtra, UnknownComponent
from coda_core.interfaces import Kind, Requires
from coda_core.plugins.registry import Registry, missing_modules, require

if TYPE_CHECKING:
    from tests.coda_core.conftest import Kit


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (
            "processor",
            "moshy",
            'there is no processor called "moshy". Did you mean "moshi"? Installed here: echo, moshi.',
        ),
        (
            "processor",
            "MOSHI",
            'there is no processor called "MOSHI". Did you mean "moshi"? Installed here: echo, moshi.',
        ),
        ("processor", "xyz", 'there is no processor called "xyz". Installed here: echo, moshi.'),
        (
            "state_store",
            "websocket",
            'there is no state store called "websocket". "websocket" is a transport (table [transport]). '
            "Installed here: memory, sqlite.",
        ),
    ],
)
def test_an_unknown_name(kit: Kit, kind: Kind, name: str, message: str) -> None:
    with pytest.raises(UnknownComponent) as raised:
        kit.registry.get(kind, name)
    assert str(raised.value) == message


def test_an_empty_registry() -> None:
    with pytest.raises(UnknownComponent, match="Installed here: none"):
        Registry().get("processor", "echo")


def test_a_config_class_that_nobody_registered(kit: Kit) -> None:
    known = "Known here: EchoConfig (echo), ModelConfig (moshi)."
    with pytest.raises(UnknownComponent) as raised:
        kit.registry.for_config("processor", kit.adapter(path=Path("x")))
    assert str(raised.value) == f"an AdapterConfig is not the config of a processor. {known}"
    with pytest.raises(UnknownComponent) as raised:
        kit.registry.for_config("processor", kit.socket())
    assert str(raised.value) == (
        f'a SocketConfig is not the config of a processor. It is that of the transport "websocket". {known}'
    )
    with pytest.raises(UnknownComponent) as raised:
        kit.registry.for_config("processor", kit.echo)
    assert str(raised.value) == f"EchoConfig is a class; expected an instance, as in EchoConfig(...). {known}"


def test_a_config_class_of_two_plugins(kit: Kit) -> None:
    one = kit.plugin_of("one", {"processor": [kit.component("a", kit.echo)]})
    two = kit.plugin_of("two", {"processor": [kit.component("b", kit.echo)]})
    registry = kit.registry_of(one, two)
    assert registry.get("processor", "a").plugin.name == "one"
    with pytest.raises(ComponentConflict) as raised:
        registry.for_config("processor", kit.echo())
    assert str(raised.value) == (
        'several components have the config class EchoConfig: a of "one" of coda-test 1.0 and '
        'b of "two" of coda-test 1.0. Disable all but one plugin.'
    )


def test_missing_modules_are_found_without_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spec_less", ModuleType("spec_less"))
    before = set(sys.modules)
    modules = ("json", "nobody_has_this", "xml.nobody", "nor_this.either", "spec_less", "antigravity")
    assert missing_modules(Requires(modules, "x")) == ("nobody_has_this", "nor_this.either")
    assert missing_modules(None) == ()
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    ("modules", "install", "message"),
    [
        (("json",), "coda-core[x]", None),
        (
            ("json", "nobody_has_this"),
            "coda-core[moshi]",
            'the processor "a" needs the package nobody_has_this, which is not installed. '
            "Run: pip install 'coda-core[moshi]'",
        ),
        (
            ("no_this", "no_that"),
            "coda-big",
            'the processor "a" needs the packages no_this and no_that, which are not installed. '
            "Run: pip install coda-big",
        ),
    ],
)
def test_a_component_says_what_to_install(
    kit: Kit, modules: tuple[str, ...], install: str, message: str | None
) -> None:
    component = kit.component("a", kit.echo, Requires(modules, install))
    registered = kit.registry_of(kit.plugin_of("one", {"processor": [component]})).get("processor", "a")
    if message is None:
        require(registered)
        return
    with pytest.raises(MissingExtra) as raised:
        require(registered)
    assert str(raised.value) == message
