"""Each hook is called, once, and what it returns arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import pytest

from coda_core import hookspecs
from coda_core.hookspecs import REGISTRATION_HOOKS
from coda_core.interfaces import KINDS, Kind
from coda_core.plugins import load_plugins

if TYPE_CHECKING:
    from tests.coda_core.conftest import Kit


def test_every_hook_has_a_test_here() -> None:
    hooks = {name for name in vars(hookspecs) if name.startswith("coda_")}
    tested = {name.removeprefix("test_hook_") for name in globals() if name.startswith("test_hook_")}
    assert hooks - tested == set(), "hooks without a test_hook_<name>"
    assert tested - hooks == set(), "tests of hooks that do not exist"


def test_every_kind_has_a_registration_hook() -> None:
    assert tuple(REGISTRATION_HOOKS) == KINDS == get_args(Kind)
    assert {*REGISTRATION_HOOKS.values(), "coda_started"} == {
        name for name in vars(hookspecs) if name.startswith("coda_")
    }


def _registers(kit: Kit, kind: Kind, hook: str) -> None:
    calls: list[str] = []
    component = kit.component("thing", kit.echo)

    def registration() -> list[Any]:
        calls.append(hook)
        return [component]

    module = kit.module_with("hooked", {hook: registration})
    registry = load_plugins(modules=[("hooked", module)])
    mine = [one for one in registry.registered if one.plugin.name == "hooked"]
    assert [(one.kind, one.component) for one in mine] == [(kind, component)]
    assert mine[0].plugin.components == ((kind, "thing"),)
    assert registry.get(kind, "thing") is mine[0]
    assert calls == [hook]


def test_hook_coda_register_audio_sources(kit: Kit) -> None:
    _registers(kit, "audio_source", "coda_register_audio_sources")


def test_hook_coda_register_processors(kit: Kit) -> None:
    _registers(kit, "processor", "coda_register_processors")


def test_hook_coda_register_monologue_extractors(kit: Kit) -> None:
    _registers(kit, "monologue_extractor", "coda_register_monologue_extractors")


def test_hook_coda_register_streaming_managers(kit: Kit) -> None:
    _registers(kit, "streaming_manager", "coda_register_streaming_managers")


def test_hook_coda_register_state_managers(kit: Kit) -> None:
    _registers(kit, "state_manager", "coda_register_state_managers")


def test_hook_coda_register_state_stores(kit: Kit) -> None:
    _registers(kit, "state_store", "coda_register_state_stores")


def test_hook_coda_register_transports(kit: Kit) -> None:
    _registers(kit, "transport", "coda_register_transports")


def test_hook_coda_started(kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[tuple[str, object]] = []
    kernel: Any = object()

    def first(kernel: object) -> None:
        seen.append(("first", kernel))
        raise RuntimeError("the observer fell over")

    def second() -> None:
        seen.append(("second", None))

    modules = [(name, kit.module_with(name, {"coda_started": hook})) for name, hook in (("b", second), ("a", first))]
    registry = load_plugins(modules=modules)
    assert seen == []
    registry.started(kernel)
    assert seen == [("first", kernel), ("second", None)]
    (record,) = [record for record in caplog.records if "coda_started" in record.getMessage()]
    assert record.getMessage() == 'coda_started of plugin "a" of (in process) failed; Coda goes on without it'
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "the observer fell over"
